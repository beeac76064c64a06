"""The catalog."""

from datetime import timedelta

import grpc
from xenkeep.catalog.v1 import catalog_pb2, catalog_pb2_grpc

from services.chassis.rpc.channel import translated
from services.scheduler.ports import RestorePoint

PEER = "The catalog"


class GrpcRestorePoints:
    """``ports.RestorePoints``; every call ends within ``deadline``."""

    def __init__(self, channel: grpc.aio.Channel, deadline: timedelta) -> None:
        self._points = catalog_pb2_grpc.RestorePointServiceStub(channel)
        self._timeout = deadline.total_seconds()

    async def find(self, reference: str) -> RestorePoint:
        with translated(PEER):
            request = catalog_pb2.GetRestorePointRequest(name=f"restorePoints/{reference}")
            found = await self._points.GetRestorePoint(request, timeout=self._timeout)
        point = found.point
        damaged = found.state == catalog_pb2.RestorePoint.STATE_DAMAGED
        return RestorePoint(
            point_id=point.point_id,
            display_name=point.asset.display_name,
            repository=f"repositories/{point.repository_id}",
            pool_id=point.asset.pool_id,
            damage=(found.state_message or "it cannot be restored completely.") if damaged else "",
        )
