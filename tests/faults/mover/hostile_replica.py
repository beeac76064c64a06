"""A receiving mover that does what a test says, and a sender that talks to it on a clock of its own."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
from xenkeep.mover.v1 import replica_pb2
from xenkeep.mover.v1.replica_pb2_grpc import (
    ReplicaServiceServicer,
    add_ReplicaServiceServicer_to_server,
)

from services.chassis.clock import Clock
from services.chassis.rpc.channel import channel
from services.chassis.rpc.server import RpcServer
from services.mover.adapters.grpc_replica import GrpcReplica
from tests.support.pki import tls_for

REPOSITORY = "ab" * 16
Answers = Callable[[Any], AsyncIterator[Any]]


class HostileReplica(ReplicaServiceServicer):
    """``lists``, ``reads`` and ``puts`` answer; without one it takes the question and says nothing."""

    def __init__(
        self, lists: Answers | None = None, reads: Answers | None = None, puts: Answers | None = None
    ) -> None:
        self._lists, self._reads, self._puts = lists or silence, reads or silence, puts or silence
        self.asked = asyncio.Queue[str]()

    async def GetReplica(self, request: Any, context: Any) -> Any:
        raise NotImplementedError

    async def GetObject(self, request: Any, context: Any) -> Any:
        raise NotImplementedError

    async def GetObjects(self, request: Any, context: Any) -> Any:
        raise await context.abort(grpc.StatusCode.UNIMPLEMENTED)

    async def PutObjects(self, request: Any, context: Any) -> Any:
        raise await context.abort(grpc.StatusCode.UNIMPLEMENTED)

    async def ReleaseLeases(self, request: Any, context: Any) -> Any:
        raise await context.abort(grpc.StatusCode.UNIMPLEMENTED)

    async def ReleaseLease(self, request: Any, context: Any) -> Any:
        raise NotImplementedError

    async def ListObjects(self, request: Any, context: Any) -> AsyncIterator[Any]:
        self.asked.put_nowait("list")
        async for answer in self._lists(request):
            yield answer

    async def ReadObject(self, request: Any, context: Any) -> AsyncIterator[Any]:
        self.asked.put_nowait("read")
        async for answer in self._reads(request):
            yield answer

    async def PutObject(self, request_iterator: Any, context: Any) -> AsyncIterator[Any]:
        self.asked.put_nowait("put")
        async for answer in self._puts(request_iterator):
            yield answer


async def silence(_: Any) -> AsyncIterator[Any]:
    await asyncio.Event().wait()
    yield


def taken(durable: int) -> replica_pb2.PutObjectResponse:
    return replica_pb2.PutObjectResponse(durable_bytes=durable)


@asynccontextmanager
async def sent_to(
    replica: HostileReplica, folder: Path, clock: Clock, notices: list[tuple[str, str]]
) -> AsyncIterator[GrpcReplica]:
    """Who sends to it."""
    tls = tls_for(folder / "pki", "mover")
    services = [(add_ReplicaServiceServicer_to_server, replica, {"mover"})]
    async with RpcServer("127.0.0.1:0", tls, services) as server:
        address = f"127.0.0.1:{server.port}"
        async with channel(address, tls) as way:
            yield GrpcReplica(
                way, "The vault", REPOSITORY, clock, lambda code, text: notices.append((code, text))
            )
