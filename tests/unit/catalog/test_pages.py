"""Lists of the catalog in pages: entries of one moment or of one name are neither lost nor shown twice."""

from collections.abc import Sequence
from dataclasses import replace

from xenkeep.catalog.v1 import catalog_pb2

from services.catalog.adapters.memory_shelf import MemoryShelf
from services.catalog.api import RestorePointApi
from services.catalog.app.finding import Finding
from services.catalog.app.syncing import Syncing
from services.chassis.clock import FakeClock
from tests.support.pages import require_whole
from tests.unit.catalog.fakes import FakeMovers, Heard, point, read_shelf


async def api_of(shelf: MemoryShelf) -> RestorePointApi:
    return RestorePointApi(Finding(shelf, Heard()), Syncing(shelf, FakeMovers(), FakeClock()))


async def test_restore_points_are_listed_in_pages_newest_first() -> None:
    shelf = await read_shelf()
    async with shelf.writing() as work:
        for point_id, minute in (("a", 1), ("b", 2), ("c", 2), ("d", 2), ("e", 3)):
            await work.points.add(replace(point(point_id, minute=minute), document=b""))
    api = await api_of(shelf)

    async def ask(size: int, token: str) -> tuple[Sequence[str], str]:
        request = catalog_pb2.ListRestorePointsRequest(page_size=size, page_token=token)
        answer = await api.ListRestorePoints(request, None)
        return [each.name for each in answer.restore_points], answer.next_page_token

    await require_whole(ask, [f"restorePoints/{each}" for each in "edcba"])


async def test_assets_are_listed_in_pages_by_name() -> None:
    shelf = await read_shelf()
    async with shelf.writing() as work:
        for asset, name in (("1", "db"), ("2", "web"), ("3", "web"), ("4", "web"), ("5", "zoo")):
            await work.points.add(replace(point(f"point-{asset}", asset=asset, name=name), document=b""))
    api = await api_of(shelf)

    async def ask(size: int, token: str) -> tuple[Sequence[str], str]:
        request = catalog_pb2.ListAssetsRequest(page_size=size, page_token=token)
        answer = await api.ListAssets(request, None)
        return [each.asset.asset_id for each in answer.assets], answer.next_page_token

    await require_whole(ask, "12345")
