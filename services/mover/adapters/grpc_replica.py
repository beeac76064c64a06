"""A mover of another site that keeps copies, by gRPC."""

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import grpc
from xenkeep.mover.v1 import replica_pb2, replica_pb2_grpc

from services.chassis.clock import Clock
from services.chassis.errors import Internal
from services.mover.adapters.grpc_peer import Peer
from services.mover.adapters.grpc_sending import Sending
from services.mover.adapters.grpc_small_objects import SmallObjects
from services.mover.adapters.pace import Pace
from services.mover.domain.replica import SMALL_BYTES, Announced, Outcome, Small
from services.mover.repository import StoredObject
from services.mover.repository.format.names import MAX_OBJECT_BYTES
from services.mover.wire.replica import object_from_proto, replica_name

if TYPE_CHECKING:
    Stub = replica_pb2_grpc.ReplicaServiceAsyncStub

SENDING_AT_ONCE: Final = 2
"""Large objects. Others are announced or stored meanwhile, so that the line never waits for that."""
MOST_LISTED: Final = 1_000_000
"""More objects than a prefix that a copy lists ever has; a peer that goes on is not listened to."""
_QUICK_SECONDS: Final = 120.0


class GrpcReplica:
    """The copy of one repository at ``peer``. What fails for want of a line is done again, and told.

    Raises as ``Peer.again`` does. What the peer says is believed only as far as it can be: never more than an
    object's or a list's bounds.
    """

    def __init__(
        self,
        channel: grpc.aio.Channel,
        peer: str,
        repository_id: str,
        clock: Clock,
        on_notice: Callable[[str, str], None],
    ) -> None:
        self._stub: Stub = replica_pb2_grpc.ReplicaServiceStub(channel)
        self._peer = Peer(peer, clock, on_notice)
        self._repository_id, self._name = repository_id, replica_name(repository_id)
        self._line = asyncio.Semaphore(SENDING_AT_ONCE)
        self._small = SmallObjects(self._stub, self._name, self._peer.again)

    async def free_bytes(self) -> int:
        request = replica_pb2.GetReplicaRequest(name=self._name)
        replica = await self._peer.again(lambda: self._stub.GetReplica(request, timeout=_QUICK_SECONDS))
        return replica.free_bytes

    async def size(self, name: str) -> int:
        found = await self._small.size(name)
        if found is not None and found >= 0:
            return found
        if found is not None:
            raise self._peer.missing(name)
        request = replica_pb2.GetObjectRequest(parent=self._name, object=name)
        there = await self._peer.again(lambda: self._stub.GetObject(request, timeout=_QUICK_SECONDS))
        return there.size_bytes

    async def list(self, prefix: str) -> Sequence[StoredObject]:
        request = replica_pb2.ListObjectsRequest(parent=self._name, prefix=prefix)

        async def listed() -> Sequence[StoredObject]:
            found: list[StoredObject] = []
            async for some in self._peer.answers(self._stub.ListObjects(request)):
                found += map(object_from_proto, some.objects)
                if len(found) > MOST_LISTED or not all(
                    each.name.startswith(prefix) for each in found[-len(some.objects) :]
                ):
                    raise self._peer.impossible(f"the list of {prefix or 'everything'}")
            return found

        return await self._peer.again(listed)

    async def read(self, name: str) -> bytes:
        request = replica_pb2.ReadObjectRequest(parent=self._name, object=name)

        async def read() -> bytes:
            data = bytearray()
            async for part in self._peer.answers(self._stub.ReadObject(request)):
                if part.offset != len(data):
                    raise Internal(f"{self._peer.name} left bytes of {name} out.", reason="REPLICA_GAP")
                data += part.data
                if len(data) > MAX_OBJECT_BYTES:
                    raise self._peer.impossible(name)
            return bytes(data)

        return await self._peer.again(read)

    async def release(self, name: str) -> None:
        gone = await self._small.release(name)
        if gone:
            return
        if gone is not None:
            raise self._peer.missing(name)
        request = replica_pb2.ReleaseLeaseRequest(parent=self._name, object=name)
        await self._peer.again(lambda: self._stub.ReleaseLease(request, timeout=_QUICK_SECONDS))

    async def put(self, name: str, data: memoryview, sha256: bytes, pace: Pace) -> None:
        """Returns when the object is stored there for good; raises AlreadyExists when one of its size was."""
        if len(data) <= SMALL_BYTES:
            if pace.limited:
                await pace.wait_in_loop(len(data))
            outcome = await self._small.put(Small(name, sha256, data))
            if outcome == Outcome.EXISTS:
                raise self._peer.exists(name)
            if outcome is not None:
                return
        what = Announced(self._repository_id, name, len(data), sha256)
        sending = Sending(self._stub, what, data, pace, self._peer, self._line)
        await self._peer.again(sending.attempt, sending)
