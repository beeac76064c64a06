"""The process dies while a VM is off for its backup."""

import uuid

import grpc
import pytest
from xenkeep.common.v1 import capture_pb2
from xenkeep.hypervisor.v1 import vm_pb2

from tests.faults.hypervisor.pool_view import snapshots
from tests.support.hypervisor import Lab

OFFLINE = capture_pb2.METHOD_OFFLINE


def _runs(vm: vm_pb2.Vm) -> bool:
    return vm.power_state == vm_pb2.Vm.POWER_STATE_RUNNING


async def _killed_at(lab: Lab, vm: vm_pb2.Vm, id: str, step: str) -> None:
    await lab.process.kill()
    await lab.restarted(crash_at=step)
    with pytest.raises(grpc.aio.AioRpcError):
        await lab.open(vm, id=id, method=OFFLINE)
    await lab.process.died()
    [ref] = await lab.session_call("VM.get_by_name_label", "web")
    assert "Halted" == await lab.session_call("VM.get_power_state", ref)


async def test_killed_between_shutdown_and_start_the_vm_runs_again_by_itself(lab: Lab) -> None:
    vm = await lab.vm("web")
    for step in ("open:off", "open:snapshot"):
        id = str(uuid.uuid4())
        await _killed_at(lab, vm, id, step)
        await lab.restarted()
        assert vm.host_id == (await lab.vm_with(vm.name, _runs)).host_id, step
        source = await lab.open(vm, id=id, method=OFFLINE)
        assert capture_pb2.CONSISTENCY_POWERED_OFF == source.consistency, step
        assert _runs(await lab.vm_with(vm.name, _runs))
        await lab.close(source.name, committed=False)
        assert {} == await snapshots(lab), step
