"""The process dies while a VM is off for its backup."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable

import grpc
import pytest
from xenkeep.common.v1 import capture_pb2
from xenkeep.hypervisor.v1 import vm_pb2
from xenkeep.simulator.v1 import simulator_pb2

from tests.faults.hypervisor.pool_view import snapshots
from tests.support.hypervisor import Lab

pytestmark = pytest.mark.scenario(1)

OFFLINE = capture_pb2.METHOD_OFFLINE
RUNNING = vm_pb2.Vm.POWER_STATE_RUNNING


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


async def _pool_until(lab: Lab, kind: str, held: Callable[[], Awaitable[bool]]) -> None:
    """Looks again whenever something of that kind happens in the pool."""
    token = ""
    while True:
        token = (await lab.session_call("event.from", [kind], token, 30.0))["token"]
        if await held():
            return


async def test_killed_while_the_guest_is_shutting_down_it_runs_again_by_itself(lab: Lab) -> None:
    vm = await lab.vm("web")
    await lab.simulator.SetShutdown(simulator_pb2.SetShutdownRequest(vm="web", delay_milliseconds=3_600_000))
    [ref] = await lab.session_call("VM.get_by_name_label", "web")

    async def is_shutting_down() -> bool:
        return "clean_shutdown" in (await lab.session_call("VM.get_current_operations", ref)).values()

    async def was_started() -> bool:
        told = (await lab.session_call("message.get_all_records")).values()
        vm_uuid = vm.name.rpartition("/")[2]
        return ("VM_STARTED", vm_uuid) in {(message["name"], message["obj_uuid"]) for message in told}

    opening = asyncio.ensure_future(lab.open(vm, method=OFFLINE))
    await _pool_until(lab, f"VM/{ref}", is_shutting_down)
    await lab.process.kill()
    with pytest.raises(grpc.aio.AioRpcError):
        await opening
    assert "Running" == await lab.session_call("VM.get_power_state", ref)
    assert not await was_started()
    await lab.restarted()
    await lab.simulator.SetShutdown(simulator_pb2.SetShutdownRequest(vm="web"))
    await _pool_until(lab, "message", was_started)
    assert vm.host_id == (await lab.vm_with(vm.name, _runs)).host_id
