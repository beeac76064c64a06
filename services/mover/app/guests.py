"""Streams that bring objects: so many at once that whoever opens more cannot take the memory of all."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

from services.chassis.clock import Clock
from services.chassis.errors import Unavailable

T = TypeVar("T")
MOST_GUESTS: Final = 128
"""A copy has 36 at most. Each takes up to 1 MiB of memory, and a descriptor."""
IDLE_SECONDS: Final = 60.0
"""Who waits for its hour is silent for much longer, and is left alone while there is room."""


class Guest:
    """One stream, to the one who listens to it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._patience: asyncio.Timeout | None = None
        self._listened = clock.monotonic()

    async def messages(self, stream: AsyncIterator[T]) -> AsyncIterator[T]:
        """What the stream brings; raises Unavailable when it was sent away."""
        waiting = aiter(stream)
        while True:
            self._listened = self._clock.monotonic()
            try:
                async with asyncio.timeout(None) as self._patience:
                    message = await anext(waiting)
            except StopAsyncIteration:
                return
            except TimeoutError:
                raise Unavailable(
                    "This stream was silent while others waited for its place.",
                    reason="REPLICA_STREAM_IDLE",
                    hint="Nothing to do: it is opened anew, and goes on where it was.",
                ) from None
            finally:
                self._patience = None
            yield message

    @property
    def silent_since(self) -> float | None:
        """Since when it is listened to; None while something of it is under way here, however long."""
        return None if self._patience is None else self._listened

    def send_away(self) -> None:
        if self._patience is not None:
            self._patience.reschedule(asyncio.get_running_loop().time())
            self._patience = None


class Guests:
    """Those of one mover, in its event loop."""

    def __init__(self, clock: Clock, most: int = MOST_GUESTS, idle_s: float = IDLE_SECONDS) -> None:
        self._clock, self._most, self._idle_s = clock, most, idle_s
        self._here: set[Guest] = set()

    @property
    def count(self) -> int:
        return len(self._here)

    @contextmanager
    def one(self) -> Iterator[Guest]:
        """A place for a stream, if need be of the one that is silent for longest.

        Raises Unavailable when there is none.
        """
        self._make_room()
        guest = Guest(self._clock)
        self._here.add(guest)
        try:
            yield guest
        finally:
            self._here.discard(guest)

    def _make_room(self) -> None:
        if len(self._here) < self._most:
            return
        silent = {guest: since for guest in self._here if (since := guest.silent_since) is not None}
        longest = min(silent, key=silent.__getitem__, default=None)
        if longest is None or self._clock.monotonic() - silent[longest] < self._idle_s:
            raise Unavailable(
                f"{len(self._here)} objects are being sent to this mover already.",
                reason="REPLICA_BUSY",
                hint="Nothing to do: it is tried again.",
            )
        longest.send_away()
        self._here.discard(longest)
