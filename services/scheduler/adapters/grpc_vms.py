"""The hypervisor service's inventory."""

from collections.abc import Sequence
from datetime import timedelta

import grpc
from xenkeep.common.v1 import capture_pb2
from xenkeep.hypervisor.v1 import pool_pb2, pool_pb2_grpc, vm_pb2, vm_pb2_grpc

from services.chassis.errors import Internal
from services.chassis.rpc.channel import translated
from services.scheduler.domain.pool_metadata import PoolRef
from services.scheduler.domain.selection import MethodCheck, Vm

PEER = "The hypervisor service"
PAGE = 1000
_NAME_PARTS = 4


class GrpcVms:
    """``ports.Vms``; every call ends within ``deadline``."""

    def __init__(self, channel: grpc.aio.Channel, deadline: timedelta) -> None:
        self._vms = vm_pb2_grpc.VmServiceStub(channel)
        self._pools = pool_pb2_grpc.PoolServiceStub(channel)
        self._timeout = deadline.total_seconds()

    async def list_vms(self, pool: str) -> Sequence[Vm]:
        parent = await self.find_pool(pool) if pool else ""
        return [*await self._listed(parent), *await self._listed(parent, templates=True)]

    async def _listed(self, parent: str, *, templates: bool = False) -> list[Vm]:
        vms: list[Vm] = []
        token = ""
        while True:
            request = vm_pb2.ListVmsRequest(
                parent=parent, page_size=PAGE, page_token=token, templates=templates
            )
            with translated(PEER):
                page = await self._vms.ListVms(request, timeout=self._timeout)
            vms += map(_vm, page.vms)
            token = page.next_page_token
            if not token:
                return vms

    async def find_pool(self, reference: str) -> str:
        with translated(PEER):
            request = pool_pb2.GetPoolRequest(name=reference)
            pool = await self._pools.GetPool(request, timeout=self._timeout)
        return str(pool.name)

    async def list_pools(self) -> Sequence[PoolRef]:
        pools: list[PoolRef] = []
        token = ""
        while True:
            request = pool_pb2.ListPoolsRequest(page_size=PAGE, page_token=token)
            with translated(PEER):
                page = await self._pools.ListPools(request, timeout=self._timeout)
            pools += [PoolRef(pool.name, pool.display_name) for pool in page.pools]
            token = page.next_page_token
            if not token:
                return pools


def _vm(vm: vm_pb2.Vm) -> Vm:
    parts = vm.name.split("/")
    if len(parts) != _NAME_PARTS or not all(parts):
        raise Internal(
            f"{PEER} listed a VM under the name {vm.name[:100]!r}, which is not one.",
            reason="VM_NAME_MALFORMED",
            hint="Look into its log; its release may not fit the scheduler's.",
        )
    sr_ids = tuple(sorted({disk.sr_id for disk in vm.disks if disk.sr_id}))
    checks = tuple(map(_check, vm.method_checks))
    return Vm(vm.name, vm.display_name, vm.host_id, frozenset(vm.tags), sr_ids, checks, vm.template)


def _check(check: vm_pb2.MethodCheck) -> MethodCheck:
    method = capture_pb2.Method.Name(check.method).removeprefix("METHOD_").lower()
    consistency = capture_pb2.Consistency.Name(check.consistency).removeprefix("CONSISTENCY_").lower()
    return MethodCheck(method, check.obstacle, consistency, check.usable_with)
