"""Workers outlive a ledger that is away or full."""

import asyncio
from datetime import datetime, timedelta

import pytest

from services.chassis.bell import Bell
from services.chassis.clock import FakeClock
from services.chassis.errors import ResourceExhausted, Unavailable, XenkeepError
from services.scheduler.app.rounds import PAUSE_S, Rounds


@pytest.mark.parametrize("trouble", [Unavailable, ResourceExhausted])
async def test_a_worker_tries_again_when_the_ledger_is_away_or_full(trouble: type[XenkeepError]) -> None:
    clock, tries, done = FakeClock(), 0, asyncio.Event()

    async def round_() -> datetime | None:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise trouble("The database has no room left.", reason="DATABASE_FULL")
        done.set()
        return None

    working = asyncio.create_task(Rounds(round_, Bell(), clock, timedelta(seconds=5)).run())
    await clock.until_sleeping()
    assert not done.is_set()
    await clock.advance(PAUSE_S)
    assert done.is_set()
    working.cancel()
    await asyncio.wait({working})
