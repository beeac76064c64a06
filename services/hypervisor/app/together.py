"""The moment several captures share: nobody's snapshot begins before all are ready, and nobody's guest goes
on before all have theirs."""

import asyncio
from math import ceil
from typing import Protocol

from services.chassis.clock import Clock
from services.chassis.errors import Aborted


class Turn(Protocol):
    """What one capture does at the moment, in this order. Each may be called again and does nothing then;
    each raises Aborted GROUP_BROKEN when one of the others has given up."""

    async def prepared(self) -> None:
        """Waits until all are where freezing may begin."""
        ...

    async def ready(self) -> None:
        """Waits until all are where their snapshots may begin."""
        ...

    async def taken(self) -> None:
        """Waits until all have their snapshots."""
        ...


class Alone:
    """``Turn`` of a capture that waits for nobody."""

    async def prepared(self) -> None:
        return None

    async def ready(self) -> None:
        return None

    async def taken(self) -> None:
        return None


class Together:
    """One moment for ``count`` captures; each takes a ``turn``. Whoever fails gives up for all."""

    def __init__(self, count: int, clock: Clock) -> None:
        self.prepared, self.ready, self.taken = (asyncio.Barrier(count) for _ in range(3))
        self._clock = clock
        self._times: list[float] = []

    def turn(self) -> "MemberTurn":
        return MemberTurn(self)

    async def give_up(self) -> None:
        """Nobody has to wait any more."""
        for barrier in (self.prepared, self.ready, self.taken):
            await barrier.abort()

    def note_time(self) -> None:
        """A snapshot begins, or is there."""
        self._times.append(self._clock.monotonic())

    @property
    def spread_ms(self) -> int:
        """From the first snapshot that was asked for to the last one that was there; rounded up."""
        return ceil((max(self._times) - min(self._times)) * 1000)


class MemberTurn:
    """``Turn`` of a member."""

    def __init__(self, together: Together) -> None:
        self._together = together
        self._passed: set[asyncio.Barrier] = set()

    async def prepared(self) -> None:
        await self._through(self._together.prepared)

    async def ready(self) -> None:
        if await self._through(self._together.ready):
            self._together.note_time()

    async def taken(self) -> None:
        if self._together.taken not in self._passed:
            self._together.note_time()
        await self._through(self._together.taken)

    async def _through(self, barrier: asyncio.Barrier) -> bool:
        """Whether it was the first time."""
        if barrier in self._passed:
            return False
        self._passed.add(barrier)
        try:
            await barrier.wait()
        except asyncio.BrokenBarrierError:
            raise Aborted(
                "Another VM of the group could not be captured.",
                reason="GROUP_BROKEN",
                hint="Look at what the other VM's backup says.",
            ) from None
        return True
