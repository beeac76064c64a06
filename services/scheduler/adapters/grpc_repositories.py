"""The repositories movers know."""

from datetime import timedelta

import grpc
from xenkeep.mover.v1 import repository_pb2, repository_pb2_grpc

from services.chassis.bus.subjects import of_work
from services.chassis.rpc.channel import translated
from services.scheduler.ports import Repository

PEER = "The mover service"


class GrpcRepositories:
    """``ports.Repositories``; every call ends within ``deadline``."""

    def __init__(self, channel: grpc.aio.Channel, deadline: timedelta) -> None:
        self._repositories = repository_pb2_grpc.RepositoryServiceStub(channel)
        self._timeout = deadline.total_seconds()

    async def find(self, reference: str) -> Repository:
        """Raises InvalidInput SUBJECT_INVALID for a site that no queue can be named after."""
        with translated(PEER):
            request = repository_pb2.GetRepositoryRequest(name=reference)
            found = await self._repositories.GetRepository(request, timeout=self._timeout)
        of_work(found.site, "transfer")
        return Repository(found.name, found.display_name, found.site)
