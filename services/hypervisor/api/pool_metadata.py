"""PoolMetadataService."""

from collections.abc import AsyncIterator
from typing import Any

from xenkeep.hypervisor.v1 import pool_metadata_pb2, pool_metadata_pb2_grpc

from services.hypervisor.app.pool_metadata import PoolMetadata


class PoolMetadataApi(pool_metadata_pb2_grpc.PoolMetadataServiceServicer):
    """Unpacks, calls once, packs."""

    def __init__(self, metadata: PoolMetadata) -> None:
        self._metadata = metadata

    async def ListPoolParts(
        self, request: pool_metadata_pb2.ListPoolPartsRequest, context: Any
    ) -> pool_metadata_pb2.ListPoolPartsResponse:
        pool, parts = await self._metadata.parts(request.pool, hosts=request.hosts)
        return pool_metadata_pb2.ListPoolPartsResponse(
            pool=f"pools/{pool.pool_id}",
            pool_display_name=pool.display_name,
            parts=[
                pool_metadata_pb2.PoolPart(name=part.name, display_name=part.display_name) for part in parts
            ],
        )

    async def ReadPoolPart(
        self, request: pool_metadata_pb2.ReadPoolPartRequest, context: Any
    ) -> AsyncIterator[pool_metadata_pb2.ReadPoolPartResponse]:
        async for piece in self._metadata.read(request.pool, request.part):
            yield pool_metadata_pb2.ReadPoolPartResponse(data=piece)

    async def CheckPoolDatabase(
        self, request_iterator: AsyncIterator[pool_metadata_pb2.CheckPoolDatabaseRequest], context: Any
    ) -> pool_metadata_pb2.CheckPoolDatabaseResponse:
        first = await anext(request_iterator, pool_metadata_pb2.CheckPoolDatabaseRequest())
        dump = (request.data async for request in request_iterator)
        why_not = await self._metadata.check_database(first.pool, first.size_bytes, dump)
        return pool_metadata_pb2.CheckPoolDatabaseResponse(accepted=not why_not, message=why_not)
