"""PoolService and VmService."""

from typing import Any

from xenkeep.hypervisor.v1 import pool_pb2, pool_pb2_grpc, vm_pb2, vm_pb2_grpc

from services.chassis.config import Secret
from services.chassis.errors import InvalidInput
from services.hypervisor.app.pool_watch import PoolWatch
from services.hypervisor.app.pools import Pools, Vms, order_of
from services.hypervisor.wire.paging import page
from services.hypervisor.wire.pools import certificate_to_proto, pool_to_proto
from services.hypervisor.wire.vms import vm_to_proto


class PoolApi(pool_pb2_grpc.PoolServiceServicer):
    """Unpacks, calls once, packs."""

    def __init__(self, pools: Pools) -> None:
        self._pools = pools

    async def ProbePool(self, request: pool_pb2.ProbePoolRequest, context: Any) -> pool_pb2.ProbePoolResponse:
        certificate = await self._pools.probe(request.address)
        return pool_pb2.ProbePoolResponse(certificate=certificate_to_proto(certificate))

    async def CreatePool(self, request: pool_pb2.CreatePoolRequest, context: Any) -> pool_pb2.Pool:
        if not request.certificate_sha256:
            raise InvalidInput(
                "No certificate was agreed to.",
                reason="CERTIFICATE_REQUIRED",
                hint="Probe the pool, compare the fingerprint with the host's console, and give it.",
            )
        watch = await self._pools.add(
            request.address, request.username, Secret(request.password), request.certificate_sha256
        )
        return _packed(watch)

    async def GetPool(self, request: pool_pb2.GetPoolRequest, context: Any) -> pool_pb2.Pool:
        return _packed(self._pools.find(request.name))

    async def ListPools(self, request: pool_pb2.ListPoolsRequest, context: Any) -> pool_pb2.ListPoolsResponse:
        shown, more = page(self._pools.all(), request.page_size, request.page_token, _place)
        return pool_pb2.ListPoolsResponse(pools=[_packed(watch) for watch in shown], next_page_token=more)

    async def DeletePool(
        self, request: pool_pb2.DeletePoolRequest, context: Any
    ) -> pool_pb2.DeletePoolResponse:
        await self._pools.remove(request.name)
        return pool_pb2.DeletePoolResponse()


class VmApi(vm_pb2_grpc.VmServiceServicer):
    """Unpacks, calls once, packs."""

    def __init__(self, vms: Vms) -> None:
        self._vms = vms

    async def GetVm(self, request: vm_pb2.GetVmRequest, context: Any) -> vm_pb2.Vm:
        pool, vm = self._vms.find(request.name)
        return vm_to_proto(vm, pool.display_name, self._vms.agent_obstacle(vm))

    async def ListVms(self, request: vm_pb2.ListVmsRequest, context: Any) -> vm_pb2.ListVmsResponse:
        shown, more = page(
            self._vms.all(request.parent, templates=request.templates),
            request.page_size,
            request.page_token,
            lambda each: order_of(each[1]),
        )
        vms = [vm_to_proto(vm, pool.display_name, self._vms.agent_obstacle(vm)) for pool, vm in shown]
        return vm_pb2.ListVmsResponse(vms=vms, next_page_token=more)


def _packed(watch: PoolWatch) -> pool_pb2.Pool:
    return pool_to_proto(watch.pool, sum(not vm.template for vm in watch.picture.vms.values()))


def _place(watch: PoolWatch) -> tuple[str, str]:
    return watch.pool.display_name, watch.pool.pool_id
