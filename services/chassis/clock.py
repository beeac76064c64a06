"""Time as an argument."""

import asyncio
import time
from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta
from typing import Protocol, TypeVar

T = TypeVar("T")


class Clock(Protocol):
    """What time it is, and being woken when it is later."""

    def now(self) -> datetime:
        """The wall clock, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds since some fixed moment; never goes back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return when ``seconds`` have passed; zero or less returns after one turn of the loop."""
        ...

    async def sleep_until(self, moment: datetime) -> None:
        """Return when the wall clock shows ``moment`` (aware) or later, even if it was set."""
        ...

    async def wait(self, awaitable: Awaitable[T], seconds: float) -> T:
        """The result of ``awaitable``; cancels it and raises ``TimeoutError`` when ``seconds`` pass first."""
        ...


class SystemClock:
    """The machine's clock."""

    LONGEST_SLEEP_S = 30.0
    """``sleep_until`` looks at the wall clock at least this often, because it may be set while we sleep."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))

    async def sleep_until(self, moment: datetime) -> None:
        while (left := (moment - self.now()).total_seconds()) > 0:
            await self.sleep(min(left, self.LONGEST_SLEEP_S))

    async def wait(self, awaitable: Awaitable[T], seconds: float) -> T:
        # Not asyncio.wait_for: see chassis.cancelled.
        work = asyncio.ensure_future(awaitable)
        try:
            await asyncio.wait({work}, timeout=seconds)
            if work.done():
                return work.result()
            raise TimeoutError(f"{seconds} s passed")
        finally:
            if work.cancel():
                await asyncio.gather(work, return_exceptions=True)


class FakeClock:
    """A clock that stands still until a test moves it."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._now = start
        self._elapsed = 0.0
        self._sleepers: list[tuple[float, asyncio.Event]] = []
        self._arrived = asyncio.Event()

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._elapsed

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken = asyncio.Event()
        sleeper = (self._elapsed + seconds, woken)
        self._sleepers.append(sleeper)
        self._arrived.set()
        try:
            await woken.wait()
        finally:
            self._sleepers.remove(sleeper)

    async def sleep_until(self, moment: datetime) -> None:
        await self.sleep((moment - self._now).total_seconds())

    async def wait(self, awaitable: Awaitable[T], seconds: float) -> T:
        work = asyncio.ensure_future(awaitable)
        alarm = asyncio.ensure_future(self.sleep(seconds))
        try:
            await asyncio.wait({work, alarm}, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                return work.result()
            raise TimeoutError(f"{seconds} s passed")
        finally:
            unfinished = [task for task in (work, alarm) if task.cancel()]
            await asyncio.gather(*unfinished, return_exceptions=True)

    async def advance(self, seconds: float) -> None:
        """Move time forward, waking each sleeper at its own moment and letting it run before the next."""
        end = self._elapsed + seconds
        while due := sorted(at for at, woken in self._sleepers if at <= end and not woken.is_set()):
            self._move_to(due[0])
            for at, woken in self._sleepers:
                if at <= self._elapsed:
                    woken.set()
            await self._let_others_run()
        self._move_to(end)
        await self._let_others_run()

    async def until_sleeping(self, sleepers: int = 1) -> None:
        """Return when at least ``sleepers`` tasks are waiting on this clock."""
        while sum(not woken.is_set() for _, woken in self._sleepers) < sleepers:
            self._arrived.clear()
            await self._arrived.wait()

    def _move_to(self, elapsed: float) -> None:
        if elapsed > self._elapsed:
            self._now += timedelta(seconds=elapsed - self._elapsed)
            self._elapsed = elapsed

    @staticmethod
    async def _let_others_run() -> None:
        for _ in range(20):
            await asyncio.sleep(0)
