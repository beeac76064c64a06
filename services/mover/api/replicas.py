"""ReplicaService."""

from collections.abc import AsyncIterator
from typing import Any

from xenkeep.mover.v1 import replica_pb2, replica_pb2_grpc

from services.chassis.errors import InvalidInput
from services.mover.app.replicas import Replicas
from services.mover.wire.replica import (
    announced_from_proto,
    object_to_proto,
    outcomes_to_proto,
    replica_id,
    small_from_proto,
    taken_to_proto,
)


class ReplicaApi(replica_pb2_grpc.ReplicaServiceServicer):
    """Unpacks, calls once, packs."""

    def __init__(self, replicas: Replicas) -> None:
        self._replicas = replicas

    async def GetReplica(self, request: replica_pb2.GetReplicaRequest, context: Any) -> replica_pb2.Replica:
        free = await self._replicas.free_bytes(replica_id(request.name))
        return replica_pb2.Replica(name=request.name, free_bytes=free)

    async def ListObjects(
        self, request: replica_pb2.ListObjectsRequest, context: Any
    ) -> AsyncIterator[replica_pb2.ListObjectsResponse]:
        async for some in self._replicas.objects(replica_id(request.parent), request.prefix):
            yield replica_pb2.ListObjectsResponse(objects=map(object_to_proto, some))

    async def GetObject(self, request: replica_pb2.GetObjectRequest, context: Any) -> replica_pb2.Object:
        size = await self._replicas.size(replica_id(request.parent), request.object)
        return replica_pb2.Object(object=request.object, size_bytes=size)

    async def ReadObject(
        self, request: replica_pb2.ReadObjectRequest, context: Any
    ) -> AsyncIterator[replica_pb2.ReadObjectResponse]:
        async for offset, data in self._replicas.read(replica_id(request.parent), request.object):
            yield replica_pb2.ReadObjectResponse(offset=offset, data=data)

    async def PutObject(
        self, request_iterator: AsyncIterator[replica_pb2.PutObjectRequest], context: Any
    ) -> AsyncIterator[replica_pb2.PutObjectResponse]:
        with self._replicas.guests.one() as guest:
            messages = guest.messages(request_iterator)
            first = await anext(messages, replica_pb2.PutObjectRequest())
            if first.WhichOneof("part") != "start":
                raise InvalidInput(
                    "The first message does not say what comes.",
                    reason="REPLICA_NO_START",
                    hint="Send it first.",
                )
            async for taken in self._replicas.put(announced_from_proto(first.start), _parts(messages)):
                yield taken_to_proto(taken)

    async def ReleaseLease(
        self, request: replica_pb2.ReleaseLeaseRequest, context: Any
    ) -> replica_pb2.ReleaseLeaseResponse:
        await self._replicas.release(replica_id(request.parent), request.object)
        return replica_pb2.ReleaseLeaseResponse()

    async def GetObjects(
        self, request: replica_pb2.GetObjectsRequest, context: Any
    ) -> replica_pb2.GetObjectsResponse:
        found = await self._replicas.sizes(replica_id(request.parent), request.objects)
        objects = [replica_pb2.Object(object=name, size_bytes=size) for name, size in found.items()]
        return replica_pb2.GetObjectsResponse(objects=objects)

    async def PutObjects(
        self, request: replica_pb2.PutObjectsRequest, context: Any
    ) -> replica_pb2.PutObjectsResponse:
        objects = [small_from_proto(each) for each in request.objects]
        return outcomes_to_proto(await self._replicas.put_small(replica_id(request.parent), objects))

    async def ReleaseLeases(
        self, request: replica_pb2.ReleaseLeasesRequest, context: Any
    ) -> replica_pb2.ReleaseLeasesResponse:
        gone = await self._replicas.release_all(replica_id(request.parent), request.objects)
        return replica_pb2.ReleaseLeasesResponse(objects=gone)


async def _parts(
    requests: AsyncIterator[replica_pb2.PutObjectRequest],
) -> AsyncIterator[tuple[int, bytes]]:
    async for request in requests:
        yield request.data.offset, request.data.data
