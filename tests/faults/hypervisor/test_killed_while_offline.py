"""The process dies while a VM is off for its backup."""

import asyncio
import uuid

import grpc
import pytest
from xenkeep.common.v1 import capture_pb2
from xenkeep.hypervisor.v1 import events_pb2, vm_pb2
from xenkeep.simulator.v1 import simulator_pb2

from tests.faults.hypervisor.pool_view import snapshots
from tests.support.hypervisor import Lab

OFFLINE = capture_pb2.METHOD_OFFLINE
HALTED, RUNNING = vm_pb2.Vm.POWER_STATE_HALTED, vm_pb2.Vm.POWER_STATE_RUNNING


def _runs(vm: vm_pb2.Vm) -> bool:
    return vm.power_state == RUNNING


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


async def test_killed_while_the_guest_is_shutting_down_it_runs_again_by_itself(lab: Lab) -> None:
    vm = await lab.vm("web")
    await lab.simulator.SetShutdown(simulator_pb2.SetShutdownRequest(vm="web", delay_milliseconds=12_000))
    [ref] = await lab.session_call("VM.get_by_name_label", "web")
    opening = asyncio.ensure_future(lab.open(vm, method=OFFLINE))
    while "clean_shutdown" not in (await lab.session_call("VM.get_current_operations", ref)).values():
        await lab.session_call("event.from", [f"VM/{ref}"], "", 0.0)
    await lab.process.kill()
    with pytest.raises(grpc.aio.AioRpcError):
        await opening
    assert "Running" == await lab.session_call("VM.get_power_state", ref)
    await lab.restarted()
    await lab.event(events_pb2.VmPowerChanged, lambda event: event.new_power_state == HALTED)
    await lab.event(events_pb2.VmPowerChanged, lambda event: event.new_power_state == RUNNING)
    assert vm.host_id == (await lab.vm_with(vm.name, _runs)).host_id
