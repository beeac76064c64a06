"""Transfers in pages: those of one moment are neither lost nor shown twice."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from xenkeep.mover.v1 import transfer_pb2

from services.chassis.bell import Bell
from services.chassis.clock import FakeClock
from services.chassis.ids import RandomIds
from services.mover.adapters.memory_books import MemoryBooks
from services.mover.api.transfers import TransferApi
from services.mover.app.transfers import Transfers
from services.mover.domain.transfer import Transfer, Verify
from tests.support.pages import require_whole
from tests.unit.mover.world import transfer_id

NOW = datetime(2026, 1, 1, tzinfo=UTC)


async def test_transfers_are_listed_in_pages_newest_first() -> None:
    books = MemoryBooks()
    ids = [transfer_id(number) for number in range(5)]
    async with books.writing() as work:
        for id_, minute in zip(ids, (1, 2, 2, 2, 3), strict=True):
            made = NOW + timedelta(minutes=minute)
            await work.transfers.put(Transfer(id_, Verify("main", full=True), made))
    api = TransferApi(Transfers(books, Bell(), FakeClock(), RandomIds()))

    async def ask(size: int, token: str) -> tuple[Sequence[str], str]:
        request = transfer_pb2.ListTransfersRequest(page_size=size, page_token=token)
        answer = await api.ListTransfers(request, None)
        return [each.name for each in answer.transfers], answer.next_page_token

    await require_whole(ask, [f"transfers/{each}" for each in reversed(ids)])
