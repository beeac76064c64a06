"""Waiting until data may be sent."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from services.chassis.clock import Clock
from services.chassis.errors import Cancelled
from services.mover.domain.line import Ask, Line, Share
from services.mover.domain.rates import RateLimits


class SharedLine:
    """What the copies of one mover send over. Safe from any thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._line = Line()
        self._lock = threading.Lock()

    def take(self, ask: Ask) -> float:
        """0 when it may be sent now, else seconds to wait and ask again, or ``withdraw``."""
        with self._lock:
            return self._line.take(ask, self._clock.now(), self._clock.monotonic())

    async def sleep(self, seconds: float) -> None:
        await self._clock.sleep(seconds)

    def withdraw(self, ask: Ask) -> None:
        with self._lock:
            self._line.withdraw(ask)


class Pace:
    """Shared by all who send for one copy, within its limits and with the others on the line. Safe from any
    thread."""

    def __init__(self, limits: RateLimits, line: SharedLine, cancel: threading.Event) -> None:
        self._share = Share(limits)
        self._line = line
        self._cancel = cancel

    @property
    def limited(self) -> bool:
        """Whether there is ever anything to wait for."""
        return bool(self._share.limits.limits)

    def wait(self, size: int) -> None:
        """Return when so many bytes may be sent; raises Cancelled. For threads."""
        with self._asked(size) as ask:
            while seconds := self._line.take(ask):
                if self._cancel.wait(seconds):
                    raise _cancelled()

    async def wait_in_loop(self, size: int) -> None:
        """``wait`` for the event loop; no thread is kept waiting, for hours perhaps."""
        with self._asked(size) as ask:
            while seconds := self._line.take(ask):
                await self._line.sleep(seconds)
                if self._cancel.is_set():
                    raise _cancelled()

    @contextmanager
    def _asked(self, size: int) -> Iterator[Ask]:
        ask = Ask(self._share, size)
        try:
            yield ask
        finally:
            self._line.withdraw(ask)


def _cancelled() -> Cancelled:
    return Cancelled(
        "The copy was cancelled.",
        reason="COPY_CANCELLED",
        hint="Start it again if needed: what was sent is not sent again.",
    )
