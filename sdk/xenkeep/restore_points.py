"""Restore points, as the catalog knows them."""

from collections.abc import Callable, Iterator
from typing import TypeVar

from xenkeep.calls import Caller
from xenkeep.catalog.v1 import catalog_pb2, catalog_pb2_grpc
from xenkeep.common.v1 import capture_pb2
from xenkeep.paging import pages

SYNC_SECONDS = 600.0
"""Comparing with a repository reads all of its restore points."""

OnNotice = Callable[[capture_pb2.Notice], None] | None
ListT = TypeVar("ListT", catalog_pb2.ListRestorePointsResponse, catalog_pb2.ListAssetsResponse)


class RestorePoints:
    """``client.restore_points``."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._stub = catalog_pb2_grpc.RestorePointServiceStub(caller.channel)

    def get(self, name: str) -> catalog_pb2.RestorePoint:
        """One restore point by resource name, UUID or the beginning of its UUID."""
        return self._caller.unary(self._stub.GetRestorePoint, catalog_pb2.GetRestorePointRequest(name=name))

    def list(
        self, asset: str = "", repository: str = "", on_notice: OnNotice = None
    ) -> Iterator[catalog_pb2.RestorePoint]:
        """Restore points, newest first, of one VM (name or UUID) or all, in one repository or all.

        ``on_notice`` hears when what happened last may be missing.
        """

        def fetch(token: str) -> catalog_pb2.ListRestorePointsResponse:
            request = catalog_pb2.ListRestorePointsRequest(
                asset=asset, repository=repository, page_token=token
            )
            page = self._caller.unary(self._stub.ListRestorePoints, request)
            return _told(page, on_notice)

        return pages(fetch, lambda page: page.restore_points)

    def assets(self, on_notice: OnNotice = None) -> Iterator[catalog_pb2.ProtectedAsset]:
        """What is protected, by name; ``on_notice`` as with ``list``."""

        def fetch(token: str) -> catalog_pb2.ListAssetsResponse:
            request = catalog_pb2.ListAssetsRequest(page_token=token)
            return _told(self._caller.unary(self._stub.ListAssets, request), on_notice)

        return pages(fetch, lambda page: page.assets)

    def sync(self, repository: str = "") -> catalog_pb2.SyncRepositoryResponse:
        """Make the catalog agree with a repository, or with all."""
        request = catalog_pb2.SyncRepositoryRequest(repository=repository)
        return self._caller.unary(self._stub.SyncRepository, request, SYNC_SECONDS)


def _told(page: ListT, on_notice: OnNotice) -> ListT:
    if on_notice is not None:
        for notice in page.notices:
            on_notice(notice)
    return page
