"""A worker that looks again when something changed, or when it said it would."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from services.chassis.clock import Clock
from services.scheduler.ports import Changes, Ear

Round = Callable[[], Awaitable[datetime | None]]


async def keep_rounds(round_: Round, changes: Changes, clock: Clock, longest: timedelta) -> None:
    """Never returns. Looks at least every ``longest``: another instance may have changed the ledger."""
    with changes.listen() as ear:
        while True:
            again = await round_()
            seconds = longest.total_seconds()
            if again is not None:
                seconds = min(seconds, (again - clock.now()).total_seconds())
            if seconds > 0:
                await next_change(ear, clock, seconds)


async def next_change(ear: Ear, clock: Clock, seconds: float) -> None:
    """Return at the next change, or when ``seconds`` have passed."""
    try:
        await clock.wait(ear.next(), seconds)
    except TimeoutError:
        return
