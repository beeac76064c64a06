"""The movers of a site, who read the repositories."""

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta

import grpc
from xenkeep.mover.v1 import repository_pb2, repository_pb2_grpc

from services.catalog.ports import Listed, Repository
from services.catalog.wire.names import id_in
from services.catalog.wire.point import point_from_proto, unreadable_from_proto
from services.chassis.errors import InvalidInput
from services.chassis.rpc.channel import translated

PEER = "The mover service"
PAGE = 1000


class GrpcMovers:
    """``ports.Movers``; an answer ends within ``deadline``, a listing within ``listing_deadline``."""

    def __init__(self, channel: grpc.aio.Channel, deadline: timedelta, listing_deadline: timedelta) -> None:
        self._repositories = repository_pb2_grpc.RepositoryServiceStub(channel)
        self._timeout = deadline.total_seconds()
        self._listing_timeout = listing_deadline.total_seconds()

    async def repositories(self) -> Sequence[Repository]:
        found: list[Repository] = []
        token = ""
        while True:
            request = repository_pb2.ListRepositoriesRequest(page_size=PAGE, page_token=token)
            with translated(PEER):
                page = await self._repositories.ListRepositories(request, timeout=self._timeout)
            found += map(_repository, page.repositories)
            token = page.next_page_token
            if not token:
                return found

    async def find(self, reference: str) -> Repository:
        request = repository_pb2.GetRepositoryRequest(name=reference)
        with translated(PEER):
            try:
                found = await self._repositories.GetRepository(request, timeout=self._timeout)
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.NOT_FOUND or "/" in reference:
                    raise
                request.name = f"repositories/{reference}"
                found = await self._repositories.GetRepository(request, timeout=self._timeout)
        return _repository(found)

    async def points(self, repository_id: str) -> AsyncIterator[Listed]:
        request = repository_pb2.ListPointsRequest(parent=f"repositories/{repository_id}")
        with translated(PEER):
            async for listed in self._repositories.ListPoints(request, timeout=self._listing_timeout):
                yield _listed(listed)


def _listed(listed: repository_pb2.ListPointsResponse) -> Listed:
    """A point that cannot be told from others is as good as unreadable, and holds up none of the others."""
    if listed.damage_message and not listed.point.asset.asset_id:
        return Listed(unreadable_from_proto(listed.point), listed.damage_message)
    try:
        return Listed(point_from_proto(listed.point), listed.damage_message)
    except InvalidInput as error:
        return Listed(unreadable_from_proto(listed.point), listed.damage_message or error.message)


def _repository(repository: repository_pb2.Repository) -> Repository:
    return Repository(id_in(repository.name, "repositories"), repository.display_name)
