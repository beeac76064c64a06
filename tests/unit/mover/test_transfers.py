"""Transfers that another mover of the site carries out are watched all the same."""

import asyncio
from datetime import UTC, datetime

from services.chassis.bell import Bell
from services.chassis.clock import FakeClock
from services.chassis.ids import RandomIds
from services.mover.adapters.memory_books import MemoryBooks
from services.mover.app.transfers import LOOK_EVERY_S, Transfers
from services.mover.domain.transfer import Result, State, Transfer, Verify
from tests.unit.mover.world import transfer_id

NOW = datetime(2026, 1, 1, tzinfo=UTC)


async def test_a_transfer_that_another_mover_ends_is_seen_to_end() -> None:
    books, clock = MemoryBooks(), FakeClock()
    transfer = Transfer(transfer_id(1), Verify("main", full=True), NOW).taken_up(NOW)
    async with books.writing() as work:
        await work.transfers.put(transfer)
    watching = Transfers(books, Bell(), clock, RandomIds()).watch(transfer.transfer_id)
    assert State.RUNNING == (await anext(watching)).state
    ending = asyncio.ensure_future(anext(watching))
    await clock.until_sleeping()

    async with books.writing() as work:  # it rings no bell of ours
        await work.transfers.put(transfer.succeeded(Result(), NOW))
    await clock.advance(LOOK_EVERY_S)

    assert State.SUCCEEDED == (await ending).state
