import asyncio
import time

from xenkeep.hypervisor.v1 import events_pb2, pool_pb2, vm_pb2
from xenkeep.simulator.v1 import simulator_pb2

from tests.support.hypervisor import PATIENCE_S, Lab

Vm = vm_pb2.Vm


async def _ref(lab: Lab, name: str) -> str:
    [ref] = await lab.session_call("VM.get_by_name_label", name)
    return str(ref)


async def test_what_happens_in_the_pool_is_told_within_two_seconds(lab: Lab) -> None:
    await lab.event(events_pb2.VmAdded, lambda event: event.vm.display_name == "web")
    ref = await _ref(lab, "db")
    started = time.monotonic()
    await lab.session_call("VM.start", ref, False, False)
    told = await lab.event(events_pb2.VmPowerChanged)
    assert time.monotonic() - started < 2.0
    assert (Vm.POWER_STATE_HALTED, Vm.POWER_STATE_RUNNING) == (told.old_power_state, told.new_power_state)
    await lab.session_call("VM.set_name_label", ref, "renamed")
    await lab.event(events_pb2.VmChanged, lambda event: event.vm.display_name == "renamed")


async def test_snapshots_and_templates_are_not_told_of(lab: Lab) -> None:
    source = await lab.open(await lab.vm("web"))
    ref = await _ref(lab, "web")
    await lab.session_call("VM.set_name_description", ref, "marks the end")
    await lab.event(events_pb2.VmChanged, lambda event: event.vm.description == "marks the end")
    told = {event.vm.display_name for event in lab.events if isinstance(event, events_pb2.VmAdded)}
    assert {"web", "db"} == told
    await lab.close(source.name, committed=False)


async def test_after_a_restart_only_what_changed_meanwhile_is_told(lab: Lab) -> None:
    ref = await _ref(lab, "db")
    await lab.event(events_pb2.VmAdded, lambda event: event.vm.display_name == "db")
    await lab.process.kill()
    await lab.session_call("VM.start", ref, False, False)
    before = len(lab.events)
    await lab.restarted()
    await lab.event(events_pb2.VmPowerChanged)
    await lab.session_call("VM.set_name_description", ref, "marks the end")
    await lab.event(events_pb2.VmChanged, lambda event: event.vm.description == "marks the end")
    kinds = [type(event).__name__ for event in lab.events[before:]]
    assert 1 == kinds.count("VmPowerChanged")
    assert not {"VmAdded", "VmRemoved", "PoolAdded", "PoolReachable"} & set(kinds)


async def test_lost_tracking_is_told(lab: Lab) -> None:
    vm = await lab.vm("web")
    await lab.backed_up(vm)
    disk = vm.disks[0].disk_id
    await lab.vm_with(vm.name, lambda now: now.disks[0].change_tracking)
    ref = await lab.session_call("VDI.get_by_uuid", disk)
    await lab.session_call("VDI.disable_cbt", ref)
    told = await lab.event(events_pb2.ChangeTrackingLost)
    assert (vm.name, disk) == (told.vm, told.disk_id)


async def test_another_coordinator_is_found_and_told_of(lab: Lab) -> None:
    await lab.event(events_pb2.VmAdded)
    request = simulator_pb2.DesignateCoordinatorRequest(host="host2")
    await lab.simulator.DesignateCoordinator(request)
    told = await lab.event(events_pb2.CoordinatorChanged)
    assert "host2" == told.new_host_display_name
    ref = (await lab.session_call("VM.get_by_name_label", "db", host=2))[0]
    await lab.session_call("VM.set_name_label", ref, "renamed", host=2)
    await lab.event(events_pb2.VmChanged, lambda event: event.vm.display_name == "renamed")


async def test_a_toolstack_restart_goes_unnoticed(lab: Lab) -> None:
    await lab.event(events_pb2.VmAdded)
    await lab.simulator.RestartToolstack(simulator_pb2.RestartToolstackRequest(host="host0"))
    ref = await _ref(lab, "db")
    await lab.session_call("VM.set_name_label", ref, "renamed")
    await lab.event(events_pb2.VmChanged, lambda event: event.vm.display_name == "renamed")
    kinds = {type(event).__name__ for event in lab.events}
    assert not {"PoolUnreachable", "VmRemoved", "CoordinatorChanged"} & kinds


async def test_a_pool_that_is_gone_is_told_once_and_so_is_its_return(lab: Lab) -> None:
    await lab.event(events_pb2.VmAdded)
    hosts = ("host0", "host1", "host2")
    for host in hosts:
        await lab.simulator.KillHost(simulator_pb2.KillHostRequest(host=host))
    told = await lab.event(events_pb2.PoolUnreachable)
    assert "127." in told.message
    await asyncio.gather(
        *(lab.simulator.ReviveHost(simulator_pb2.ReviveHostRequest(host=host)) for host in hosts)
    )
    await lab.event(events_pb2.PoolReachable)
    kinds = [type(event).__name__ for event in lab.events]
    assert (1, 1) == (kinds.count("PoolUnreachable"), kinds.count("PoolReachable"))


async def test_a_removed_pool_is_forgotten(lab: Lab) -> None:
    request = pool_pb2.DeletePoolRequest(name=f"pools/{lab.pool_id}")
    await lab.pools.DeletePool(request, timeout=PATIENCE_S)
    answer = await lab.pools.ListPools(pool_pb2.ListPoolsRequest(), timeout=PATIENCE_S)
    assert [] == list(answer.pools)
    await lab.process.stop()
    await lab.restarted()
    answer = await lab.pools.ListPools(pool_pb2.ListPoolsRequest(), timeout=PATIENCE_S, wait_for_ready=True)
    assert [] == list(answer.pools)
