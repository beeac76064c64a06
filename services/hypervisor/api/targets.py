"""RestoreTargetService."""

from typing import Any

from xenkeep.hypervisor.v1 import restore_target_pb2, restore_target_pb2_grpc

from services.hypervisor.app.pools import Pools
from services.hypervisor.app.targets import Targets
from services.hypervisor.domain.names import parse, require_uuid
from services.hypervisor.wire.targets import disk_from_proto, placement_from_proto, target_to_proto


class RestoreTargetApi(restore_target_pb2_grpc.RestoreTargetServiceServicer):
    """Unpacks, calls once, packs."""

    def __init__(self, targets: Targets, pools: Pools) -> None:
        self._targets = targets
        self._pools = pools

    async def PrepareRestoreTarget(
        self, request: restore_target_pb2.PrepareRestoreTargetRequest, context: Any
    ) -> restore_target_pb2.RestoreTarget:
        pool_id = self._pools.find(request.placement.pool).pool.pool_id
        target, endpoints = await self._targets.prepare(
            require_uuid(request.restore_target_id, "The id of the restore target"),
            placement_from_proto(request.placement, pool_id),
            request.vm_configuration,
            tuple(disk_from_proto(disk) for disk in request.disks),
        )
        return target_to_proto(target, endpoints)

    async def GetRestoreTarget(
        self, request: restore_target_pb2.GetRestoreTargetRequest, context: Any
    ) -> restore_target_pb2.RestoreTarget:
        return target_to_proto(*await self._targets.get(*parse(request.name, "restoreTargets")))

    async def CommitRestoreTarget(
        self, request: restore_target_pb2.CommitRestoreTargetRequest, context: Any
    ) -> restore_target_pb2.RestoreTarget:
        return target_to_proto(await self._targets.commit(*parse(request.name, "restoreTargets")), {})

    async def AbortRestoreTarget(
        self, request: restore_target_pb2.AbortRestoreTargetRequest, context: Any
    ) -> restore_target_pb2.AbortRestoreTargetResponse:
        await self._targets.abort(*parse(request.name, "restoreTargets"))
        return restore_target_pb2.AbortRestoreTargetResponse()
