"""The hypervisor service's pools by gRPC."""

from collections.abc import AsyncIterator

import grpc
from xenkeep.hypervisor.v1 import pool_metadata_pb2, pool_metadata_pb2_grpc

from services.chassis.rpc.channel import translated
from services.mover.domain.pool_parts import PoolParts

QUICK_SECONDS = 120.0
PART_SECONDS = 6 * 3600.0
"""The files of a host are several GiB, and hosts are busy."""


class GrpcPoolMetadata:
    """``ports.pool_metadata.PoolMetadata``."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._pools = pool_metadata_pb2_grpc.PoolMetadataServiceStub(channel)

    async def parts(self, pool: str, *, hosts: bool) -> PoolParts:
        request = pool_metadata_pb2.ListPoolPartsRequest(pool=pool, hosts=hosts)
        with translated("hypervisor"):
            found = await self._pools.ListPoolParts(request, timeout=QUICK_SECONDS)
        return PoolParts(found.pool, found.pool_display_name, tuple(part.name for part in found.parts))

    async def read(self, pool: str, part: str) -> AsyncIterator[bytes]:
        request = pool_metadata_pb2.ReadPoolPartRequest(pool=pool, part=part)
        with translated("hypervisor"):
            async for piece in self._pools.ReadPoolPart(request, timeout=PART_SECONDS):
                yield piece.data
