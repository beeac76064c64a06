"""What goes to and comes from other pools: VMs that migrate between two, hosts that join and are ejected."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from xenkeep.common.v1 import capture_pb2
from xenkeep.hypervisor.v1 import events_pb2, pool_pb2, vm_pb2
from xenkeep.simulator.v1 import simulator_pb2

from tests.support.hypervisor import Lab, bases, sdk_call
from tests.support.pool import MIB, PASSWORD, SimulatedPool, simulator
from tests.support.waiting import PATIENCE_S, until


def call(pool: SimulatedPool, method: str, *args: object) -> Any:
    return sdk_call(f"https://{pool.address(0)}", method, args)


@pytest.fixture
def other(tmp_path: Path) -> Iterator[SimulatedPool]:
    """A pool of one host without VMs."""
    (tmp_path / "other").mkdir()
    simulated = SimulatedPool(tmp_path / "other", hosts=1)
    simulated.start()
    yield simulated
    simulated.stop()


@pytest.fixture
def newcomer(tmp_path: Path, lab: Lab) -> Iterator[SimulatedPool]:
    """A host with the ports of the lab's pool, its own storage and a VM on it."""
    (tmp_path / "newcomer").mkdir()
    simulated = SimulatedPool(tmp_path / "newcomer", hosts=1)
    ports = json.loads((lab.pool.directory / "pool.json").read_text())
    simulated.https_port = ports["https_port"]
    disk = {"name": "own disk", "size_bytes": 16 * MIB}
    simulated.overrides = {
        "https_port": ports["https_port"],
        "nbd_port": ports["nbd_port"],
        "hosts": [{"name": "newcomer", "address": address_of(simulated)}],
        "storage": [{"name": "Own storage", "type": "ext", "host": "newcomer"}],
        "default_storage": "Own storage",
        "vms": [{"name": "brought", "disks": [disk]}],
    }
    simulated.start()
    yield simulated
    simulated.stop()


def address_of(pool: SimulatedPool) -> str:
    """Without the port."""
    return pool.address(0).partition(":")[0]


async def migrate(lab: Lab, name: str, other: SimulatedPool) -> None:
    """A VM whose disks are not tracked goes to the other pool, where nothing has a name of its own."""
    (host,), (sr,) = call(other, "host.get_all"), call(other, "SR.get_by_name_label", "Shared storage")
    (network,) = call(other, "network.get_all")
    (vm,) = await lab.session_call("VM.get_by_name_label", name)
    vbds = [
        await lab.session_call("VBD.get_record", vbd) for vbd in await lab.session_call("VM.get_VBDs", vm)
    ]
    disks = {vbd["VDI"]: sr for vbd in vbds if vbd["type"] == "Disk"}
    vifs = dict.fromkeys(await lab.session_call("VM.get_VIFs", vm), network)
    destination = call(other, "host.migrate_receive", host, network, {})
    await lab.session_call("VM.migrate_send", vm, destination, True, disks, vifs, {})


async def test_a_vm_that_moved_to_another_pool_is_gone_there_added_here_and_read_fully(
    lab: Lab, other: SimulatedPool
) -> None:
    there = await lab.add_another(other.address(0))
    vm = await lab.vm("web")
    await lab.guest_writes(vm.disks[0].disk_id, MIB, b"x" * 512)
    first = await lab.backed_up(vm)
    hashes = {disk.display_name: await lab.hash_of(disk.disk_id) for disk in vm.disks}
    for disk in vm.disks:
        await lab.session_call("VDI.disable_cbt", await lab.session_call("VDI.get_by_uuid", disk.disk_id))

    await migrate(lab, "web", other)

    assert (await lab.event(events_pb2.VmRemoved)).vm == vm.name
    name = f"{there.name}/vms/{vm.name.rpartition('/')[2]}"
    assert (await lab.event(events_pb2.VmAdded, lambda event: event.vm.name == name)).vm.display_name == "web"
    moved = await lab.vm_with(name, lambda now: now.power_state == vm_pb2.Vm.POWER_STATE_RUNNING)
    assert not {disk.disk_id for disk in moved.disks} & {disk.disk_id for disk in vm.disks}
    source = await lab.open(moved, bases(first))
    assert {disk.level for disk in source.disks} == {capture_pb2.LEVEL_FULL}
    assert {disk.full_reason for disk in source.disks} == {capture_pb2.FULL_REASON_DISK_REPLACED}
    assert "moved" in source.disks[0].full_reason_message
    await lab.close(source.name, committed=True)
    next_one = await lab.open(moved, bases(source))
    assert {disk.level for disk in next_one.disks} == {capture_pb2.LEVEL_INCREMENTAL}
    await lab.close(next_one.name, committed=False)
    async with other.control() as control:
        asked = simulator(control)
        told = {
            disk.display_name: (
                await asked.HashDisk(simulator_pb2.HashDiskRequest(disk_id=disk.disk_id))
            ).sha256
            for disk in moved.disks
        }
    assert told == hashes


async def test_a_host_that_joins_is_trusted_and_read_from_and_forgotten_when_it_is_ejected(
    lab: Lab, newcomer: SimulatedPool
) -> None:
    async def members() -> dict[str, str]:
        request = pool_pb2.GetPoolRequest(name=f"pools/{lab.pool_id}")
        pool = await lab.pools.GetPool(request, timeout=PATIENCE_S)
        return {host.display_name: host.certificate_sha256 for host in pool.hosts}

    async def trusted() -> str:
        return (await members()).get("newcomer", "")

    async def forgotten() -> bool:
        return "newcomer" not in await members()

    coordinator = lab.pool.address(0).partition(":")[0]
    call(newcomer, "pool.join", coordinator, "root", PASSWORD)
    added = await lab.event(events_pb2.VmAdded, lambda event: event.vm.display_name == "brought")
    assert added.vm.name.startswith(f"pools/{lab.pool_id}/")
    await until(trusted)
    (ref,) = await lab.session_call("VM.get_by_name_label", "brought")
    await lab.session_call("VM.start", ref, False, False)
    vm = await lab.vm_with(added.vm.name, lambda now: now.power_state == vm_pb2.Vm.POWER_STATE_RUNNING)
    source = await lab.open(vm)
    endpoints = source.disks[0].nbd_endpoints
    assert [endpoint.address for endpoint in endpoints] == [address_of(newcomer)]
    await lab.close(source.name, committed=True)
    (shared,) = [await lab.open(await lab.vm("web"))]
    assert [len(disk.nbd_endpoints) for disk in shared.disks] == [4, 4]
    await lab.close(shared.name, committed=False)

    await _leads_for_a_while(lab)
    await lab.session_call("VM.hard_shutdown", ref)
    (host,) = await lab.session_call("host.get_by_name_label", "newcomer")
    await lab.session_call("pool.eject", host)
    await until(forgotten)
    shared = await lab.open(await lab.vm("web"))
    assert [len(disk.nbd_endpoints) for disk in shared.disks] == [3, 3]
    await lab.close(shared.name, committed=False)


async def _leads_for_a_while(lab: Lab) -> None:
    """The newcomer becomes coordinator, is believed, and hands over again."""
    for name in ("newcomer", "host0"):

        def leads(event: events_pb2.CoordinatorChanged, name: str = name) -> bool:
            return event.new_host_display_name == name

        request = simulator_pb2.DesignateCoordinatorRequest(host=name)
        await lab.simulator.DesignateCoordinator(request)
        await lab.event(events_pb2.CoordinatorChanged, leads)
        source = await lab.open(await lab.vm("web"))
        assert [len(disk.nbd_endpoints) for disk in source.disks] == [4, 4]
        await lab.close(source.name, committed=False)
