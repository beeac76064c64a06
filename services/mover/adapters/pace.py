"""Waiting until data may be sent."""

import threading

from services.chassis.clock import Clock
from services.chassis.errors import Cancelled
from services.mover.domain.rates import Allowance, RateLimits


class Pace:
    """Shared by all who send for one copy. Safe from any thread."""

    def __init__(self, limits: RateLimits, clock: Clock, cancel: threading.Event) -> None:
        self._allowance = Allowance(limits)
        self._limited = bool(limits.limits)
        self._clock = clock
        self._cancel = cancel
        self._lock = threading.Lock()

    @property
    def limited(self) -> bool:
        """Whether there is ever anything to wait for."""
        return self._limited

    def wait(self, size: int) -> None:
        """Return when so many bytes may be sent; raises Cancelled."""
        while self._limited and (seconds := self._take(size)):
            if self._cancel.wait(seconds):
                raise Cancelled(
                    "The copy was cancelled.",
                    reason="COPY_CANCELLED",
                    hint="Start it again if needed: what was sent is not sent again.",
                )

    def _take(self, size: int) -> float:
        with self._lock:
            return self._allowance.take(size, self._clock.now(), self._clock.monotonic())
