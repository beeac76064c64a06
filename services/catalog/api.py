"""RestorePointService."""

from collections.abc import Iterable
from typing import Any

from xenkeep.catalog.v1 import catalog_pb2, catalog_pb2_grpc
from xenkeep.common.v1 import capture_pb2

from services.catalog.app.finding import Finding, Lack
from services.catalog.app.syncing import Syncing
from services.catalog.domain.point import Filter
from services.catalog.wire.names import id_in
from services.catalog.wire.point import asset_to_proto, restore_point_to_proto
from services.chassis.paging import moment_of, page_size, parts_of, token_of

PAGE = 1000


class RestorePointApi(catalog_pb2_grpc.RestorePointServiceServicer):
    """Unpacks, calls once, packs."""

    def __init__(self, finding: Finding, syncing: Syncing) -> None:
        self._finding, self._syncing = finding, syncing

    async def GetRestorePoint(
        self, request: catalog_pb2.GetRestorePointRequest, context: Any
    ) -> catalog_pb2.RestorePoint:
        return restore_point_to_proto(await self._finding.get(id_in(request.name, "restorePoints")))

    async def ListRestorePoints(
        self, request: catalog_pb2.ListRestorePointsRequest, context: Any
    ) -> catalog_pb2.ListRestorePointsResponse:
        size = page_size(request.page_size, PAGE)
        before = None
        if request.page_token:
            moment, point_id = parts_of(request.page_token, 2)
            before = (moment_of(moment), point_id)
        wanted = Filter(request.asset, request.repository.removeprefix("repositories/"))
        listed = await self._finding.page(wanted, before, size + 1)
        page = listed.found
        last = page[size - 1].point if len(page) > size else None
        return catalog_pb2.ListRestorePointsResponse(
            restore_points=[restore_point_to_proto(each) for each in page[:size]],
            next_page_token=token_of(last.snapshot_time.isoformat(), last.point_id) if last else "",
            notices=_notices(listed.lacking),
        )

    async def ListAssets(
        self, request: catalog_pb2.ListAssetsRequest, context: Any
    ) -> catalog_pb2.ListAssetsResponse:
        size = page_size(request.page_size, PAGE)
        after = None
        if request.page_token:
            name, asset_id = parts_of(request.page_token, 2)
            after = (name, asset_id)
        listed = await self._finding.assets(after, size + 1)
        page = listed.found
        last = page[size - 1].asset if len(page) > size else None
        return catalog_pb2.ListAssetsResponse(
            assets=[asset_to_proto(each) for each in page[:size]],
            next_page_token=token_of(last.display_name, last.asset_id) if last else "",
            notices=_notices(listed.lacking),
        )

    async def SyncRepository(
        self, request: catalog_pb2.SyncRepositoryRequest, context: Any
    ) -> catalog_pb2.SyncRepositoryResponse:
        outcome = await self._syncing.sync(request.repository)
        return catalog_pb2.SyncRepositoryResponse(
            point_count=outcome.points, added_count=outcome.added, removed_count=outcome.removed
        )


def _notices(lacking: Iterable[Lack]) -> list[capture_pb2.Notice]:
    return [capture_pb2.Notice(code=lack.reason, message=lack.sentence) for lack in lacking]
