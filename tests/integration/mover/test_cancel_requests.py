"""A request to cancel concerns the movers of its site; one that names no site concerns all."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from xenkeep.scheduler.v1 import events_pb2

from services.chassis.bell import Bell
from services.chassis.bus.cloudevents import Meta
from services.chassis.clock import FakeClock
from services.chassis.ids import RandomIds
from services.chassis.sql import Database
from services.mover.adapters.sql_books import SqlBooks
from services.mover.app.transfers import Transfers
from services.mover.consumers import handlers

TRANSFER = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
META = Meta("1", "t", "s", "", datetime(2026, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize(("site", "refused"), [("home", True), ("", True), ("berlin", False)])
async def test_only_a_mover_it_may_concern_notes_it(tmp_path: Path, site: str, *, refused: bool) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path / 'mover.sqlite'}"
    async with Database(url, "mover", "services.mover.migrations") as database:
        books = SqlBooks(database, "home")
        cancel = handlers(Transfers(books, Bell(), FakeClock(), RandomIds()), "home")[
            events_pb2.TransferCancelRequested
        ]
        async with database.begin() as tx:
            await cancel(tx, events_pb2.TransferCancelRequested(transfer_id=TRANSFER, site=site), META)
        async with books.reading() as look:
            assert refused == await look.transfers.is_refused(TRANSFER)
