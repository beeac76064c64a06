"""A worker that looks again when something changed, or when it said it would."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

import structlog

from services.chassis.clock import Clock
from services.chassis.errors import ResourceExhausted, Unavailable
from services.scheduler.ports import Changes, Ear

Round = Callable[[], Awaitable[datetime | None]]
PAUSE_S = 2.0
_log = structlog.get_logger("xenkeep.scheduler")


class Rounds:
    """A component. Looks at least every ``longest``: another instance may have changed the ledger.

    While the ledger is Unavailable or full it tries again every PAUSE_S seconds, and logs so.
    """

    def __init__(self, round_: Round, changes: Changes, clock: Clock, longest: timedelta) -> None:
        self._round, self._changes, self._clock, self._longest = round_, changes, clock, longest

    async def run(self) -> None:
        """Never returns."""
        with self._changes.listen() as ear:
            while True:
                try:
                    again = await self._round()
                except (Unavailable, ResourceExhausted) as error:
                    _log.warning("worker waits", reason=error.reason, detail=str(error), in_s=PAUSE_S)
                    await self._clock.sleep(PAUSE_S)
                    continue
                seconds = self._longest.total_seconds()
                if again is not None:
                    seconds = min(seconds, (again - self._clock.now()).total_seconds())
                if seconds > 0:
                    await next_change(ear, self._clock, seconds)


async def next_change(ear: Ear, clock: Clock, seconds: float) -> None:
    """Return at the next change, or when ``seconds`` have passed."""
    try:
        await clock.wait(ear.next(), seconds)
    except TimeoutError:
        return
