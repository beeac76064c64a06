"""Restore points, as the catalog knows them."""

from collections.abc import Iterator

from xenkeep.calls import Caller
from xenkeep.catalog.v1 import catalog_pb2, catalog_pb2_grpc
from xenkeep.paging import pages

SYNC_SECONDS = 600.0
"""Comparing with a repository reads all of its restore points."""


class RestorePoints:
    """``client.restore_points``."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._stub = catalog_pb2_grpc.RestorePointServiceStub(caller.channel)

    def get(self, name: str) -> catalog_pb2.RestorePoint:
        """One restore point by resource name, UUID or the beginning of its UUID."""
        return self._caller.unary(self._stub.GetRestorePoint, catalog_pb2.GetRestorePointRequest(name=name))

    def list(self, asset: str = "", repository: str = "") -> Iterator[catalog_pb2.RestorePoint]:
        """Restore points, newest first, of one VM (name or UUID) or all, in one repository or all."""
        return pages(
            lambda token: self._caller.unary(
                self._stub.ListRestorePoints,
                catalog_pb2.ListRestorePointsRequest(asset=asset, repository=repository, page_token=token),
            ),
            lambda page: page.restore_points,
        )

    def assets(self) -> Iterator[catalog_pb2.ProtectedAsset]:
        """What is protected, by name."""
        return pages(
            lambda token: self._caller.unary(
                self._stub.ListAssets, catalog_pb2.ListAssetsRequest(page_token=token)
            ),
            lambda page: page.assets,
        )

    def sync(self, repository: str = "") -> catalog_pb2.SyncRepositoryResponse:
        """Make the catalog agree with a repository, or with all."""
        request = catalog_pb2.SyncRepositoryRequest(repository=repository)
        return self._caller.unary(self._stub.SyncRepository, request, SYNC_SECONDS)
