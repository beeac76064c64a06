"""Disks that go to other storage of the pool, and what goes with them."""

from collections.abc import AsyncIterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from services.simulator.pool import control_domain
from services.simulator.pool.description import DiskDescription, StorageDescription, VmDescription
from services.simulator.pool.simulation import Simulation
from tests.integration.simulator.pools import MIB, Sdk, describe, running
from tests.integration.simulator.test_vm_life import disk_of, only_vm
from tests.integration.simulator.test_vm_moves import named

NULL = "OpaqueRef:NULL"
KEPT = ("name_label", "name_description", "type", "virtual_size", "is_a_snapshot", "snapshot_time")


def storage() -> list[StorageDescription]:
    return [
        StorageDescription(name="one"),
        StorageDescription(name="two"),
        StorageDescription(name="second's", type="ext", host="host-2"),
    ]


def vms() -> list[VmDescription]:
    return [
        VmDescription(name="web", host="host-1", disks=[DiskDescription(size_bytes=8 * MIB, storage="one")])
    ]


@pytest.fixture
async def simulation(tmp_path: Path) -> AsyncIterator[Simulation]:
    description = describe(tmp_path / "pool", hosts=2, vms=vms(), storage=storage(), default_storage="one")
    async with running(description) as simulation:
        yield simulation


async def taken(sdk: Sdk, method: str = "VM.snapshot") -> str:
    return (await sdk.run(method, await only_vm(sdk), "snap"))[7:-8]


async def vdi(sdk: Sdk, vm: str) -> dict[str, Any]:
    return dict(await sdk.call("VDI.get_record", await disk_of(sdk, vm)))


async def disks(sdk: Sdk, vm: str) -> list[str]:
    vbds = [await sdk.call("VBD.get_record", vbd) for vbd in await sdk.call("VM.get_VBDs", vm)]
    return [vbd["VDI"] for vbd in vbds if vbd["type"] == "Disk"]


def uuids(simulation: Simulation, sr: str) -> set[str]:
    return {node.uuid for node in simulation.pool.repositories[sr].nodes() if not node.hidden}


def write(simulation: Simulation, disk: dict[str, Any], data: bytes) -> None:
    simulation.pool.repositories[disk["SR"]].disk(disk["uuid"]).write(0, data)


def read(simulation: Simulation, disk: dict[str, Any], size: int) -> bytes:
    content = bytearray(size)
    simulation.pool.repositories[disk["SR"]].disk(disk["uuid"]).read_into(0, content)
    return bytes(content)


@contextmanager
def in_use(simulation: Simulation, ref: str) -> Any:
    """As while somebody reads it by NBD."""
    host = simulation.pool.coordinator.ref
    vbd = control_domain.plug(simulation.pool, host, ref, "RO")
    yield
    control_domain.unplug(simulation.pool, vbd)


async def test_the_disks_of_a_vms_snapshots_go_along(sdk: Sdk, simulation: Simulation) -> None:
    vm, two = await only_vm(sdk), await named(sdk, "SR", "two")
    live = await vdi(sdk, vm)
    await sdk.call("VDI.set_other_config", await disk_of(sdk, vm), {"config-drive": "true", "mine": "x"})
    await sdk.call("VDI.add_tags", await disk_of(sdk, vm), "mine")
    write(simulation, live, b"then" * 128)
    snapshot = await taken(sdk)
    write(simulation, live, b"now!" * 128)
    before, record = await vdi(sdk, snapshot), await sdk.call("VM.get_record", snapshot)
    old = [await disk_of(sdk, vm), await disk_of(sdk, snapshot)]

    moved = await sdk.call("VDI.pool_migrate", old[0], two, {})

    assert moved == await disk_of(sdk, vm)
    there, copy = await vdi(sdk, vm), await vdi(sdk, snapshot)
    assert there["SR"] == copy["SR"] == two
    assert {there["uuid"], copy["uuid"]}.isdisjoint({live["uuid"], before["uuid"]})
    assert (copy["is_a_snapshot"], copy["snapshot_of"]) == (True, moved)
    assert [before[field] for field in KEPT] == [copy[field] for field in KEPT]
    assert (there["other_config"], there["tags"]) == ({"config-drive": "true"}, [])
    assert await sdk.call("VM.get_record", snapshot) == record, "the record, and its VBDs, are the same"
    assert read(simulation, copy, 512) == b"then" * 128
    assert read(simulation, there, 512) == b"now!" * 128
    for ref in old:
        assert await sdk.refused("VDI.get_record", ref) == ["HANDLE_INVALID", "VDI", ref]
    assert uuids(simulation, live["SR"]) == set()
    assert await sdk.call("VBD.get_currently_attached", there["VBDs"][0])
    await sdk.run("VM.revert", snapshot)
    assert (await vdi(sdk, vm))["SR"] == two


async def test_a_snapshot_of_the_disk_alone_stays_where_it_is(sdk: Sdk) -> None:
    disk, two = await disk_of(sdk, await only_vm(sdk)), await named(sdk, "SR", "two")
    alone = await sdk.call("VDI.snapshot", disk)
    await sdk.call("VDI.pool_migrate", disk, two, {})
    record = await sdk.call("VDI.get_record", alone)
    assert (record["SR"], record["snapshot_of"]) == (await named(sdk, "SR", "one"), disk)


async def test_the_disk_of_a_vm_that_is_off_moves_too(sdk: Sdk) -> None:
    vm, two = await only_vm(sdk), await named(sdk, "SR", "two")
    await sdk.run("VM.hard_shutdown", vm)
    moved = await sdk.call("VDI.pool_migrate", await disk_of(sdk, vm), two, {})
    assert (await vdi(sdk, vm))["SR"] == two
    assert await sdk.call("VM.get_power_state", vm) == "Halted"
    await sdk.run("VM.start", vm, False, False)
    assert await disk_of(sdk, vm) == moved


async def test_a_vm_goes_where_its_disk_can_be_seen(sdk: Sdk) -> None:
    vm, disk = await only_vm(sdk), await disk_of(sdk, await only_vm(sdk))
    target = await named(sdk, "SR", "second's")
    await sdk.call("VDI.pool_migrate", disk, target, {})
    assert await sdk.call("VM.get_resident_on", vm) == await named(sdk, "host", "host-2")
    local = await named(sdk, "SR", "one")
    for pbd in await sdk.call("SR.get_PBDs", local):
        await sdk.call("PBD.unplug", pbd)
    assert await sdk.refused("VDI.pool_migrate", await disk_of(sdk, vm), local, {}) == ["NO_HOSTS_AVAILABLE"]


async def test_tracked_snapshots_keep_a_disk_where_it_is(sdk: Sdk) -> None:
    vm, two = await only_vm(sdk), await named(sdk, "SR", "two")
    disk = await disk_of(sdk, vm)
    await sdk.call("VDI.enable_cbt", disk)
    snapshot = await taken(sdk)
    of_it = await disk_of(sdk, snapshot)
    assert await sdk.refused("VDI.pool_migrate", disk, two, {}) == ["VDI_CBT_ENABLED", disk]
    await sdk.call("VDI.disable_cbt", disk)
    assert await sdk.refused("VDI.pool_migrate", disk, two, {}) == ["VDI_CBT_ENABLED", of_it]
    await sdk.run("VM.destroy", snapshot)
    await sdk.run("VDI.data_destroy", of_it)
    await sdk.call("VDI.pool_migrate", disk, two, {})
    stayed = await sdk.call("VDI.get_record", of_it)
    assert (stayed["SR"], stayed["type"]) == (await named(sdk, "SR", "one"), "cbt_metadata")


@pytest.mark.parametrize(("version", "goes"), [("23.1.0", False), ("24.19", False), ("26.17", True)])
async def test_whether_tracking_of_another_disk_matters_depends_on_the_release(
    tmp_path: Path, version: str, goes: bool
) -> None:
    vm = VmDescription(name="web", host="host-1", disks=[DiskDescription(size_bytes=4 * MIB)] * 2)
    description = describe(tmp_path / "pool", vms=[vm], storage=storage()[:2], version=version)
    async with running(description) as simulation:
        sdk = await Sdk(simulation).log_in()
        first, second = await disks(sdk, await only_vm(sdk))
        await sdk.call("VDI.enable_cbt", second)
        asked = [first, await named(sdk, "SR", "two"), {}]
        if goes:
            await sdk.call("VDI.pool_migrate", *asked)
        else:
            assert await sdk.refused("VDI.pool_migrate", *asked) == ["VDI_CBT_ENABLED", second]
        sdk.close()


async def test_the_memory_of_a_snapshot_stays_where_the_host_sees_it(sdk: Sdk) -> None:
    vm, two = await only_vm(sdk), await named(sdk, "SR", "two")
    snapshot = await taken(sdk, "VM.checkpoint")
    image = await sdk.call("VM.get_suspend_VDI", snapshot)
    await sdk.call("VDI.pool_migrate", await disk_of(sdk, vm), two, {})
    assert await sdk.call("VM.get_suspend_VDI", snapshot) == image
    assert (await vdi(sdk, snapshot))["SR"] == two


async def test_a_snapshots_disk_whose_own_disk_is_gone_goes_to_the_pools_default_storage(sdk: Sdk) -> None:
    vm = await only_vm(sdk)
    await sdk.run("VM.hard_shutdown", vm)
    two, one = await named(sdk, "SR", "two"), await named(sdk, "SR", "one")
    spare: dict[str, Any] = {"name_label": "spare", "SR": two, "virtual_size": str(4 * MIB), "type": "user"}
    spare |= {"name_description": "", "sharable": False, "read_only": False, "other_config": {}}
    extra = await sdk.call("VDI.create", spare)
    vbd: dict[str, Any] = {
        "VM": vm,
        "VDI": extra,
        "userdevice": "5",
        "bootable": False,
        "mode": "RW",
        "type": "Disk",
    }
    vbd |= {"unpluggable": True, "empty": False, "other_config": {}, "qos_algorithm_type": ""}
    await sdk.call("VBD.create", vbd | {"qos_algorithm_params": {}})
    snapshot = await taken(sdk)
    await sdk.run("VDI.destroy", extra)
    await sdk.call("VDI.pool_migrate", await disk_of(sdk, vm), two, {})
    records = [await sdk.call("VDI.get_record", ref) for ref in await disks(sdk, snapshot)]
    there = {record["name_label"]: record["SR"] for record in records}
    assert there == {"spare": one, "web disk 0": two}


async def test_a_snapshot_that_is_read_is_left_behind_and_the_vm_runs_on_with_its_copy(
    sdk: Sdk, simulation: Simulation
) -> None:
    vm, two = await only_vm(sdk), await named(sdk, "SR", "two")
    live = await vdi(sdk, vm)
    write(simulation, live, b"same" * 128)
    snapshot = await taken(sdk)
    of_it = await disk_of(sdk, snapshot)
    its = await vdi(sdk, snapshot)
    with in_use(simulation, of_it):
        failure = await sdk.refused("VDI.pool_migrate", await disk_of(sdk, vm), two, {})
        assert failure == ["VDI_IN_USE", of_it, "destroy"]
        assert read(simulation, its, 512) == b"same" * 128
    now = await vdi(sdk, vm)
    assert (now["SR"], read(simulation, now, 512)) == (two, b"same" * 128)
    assert await disks(sdk, snapshot) == []
    assert uuids(simulation, live["SR"]) == {live["uuid"], its["uuid"]}
    assert uuids(simulation, two) == {now["uuid"]}
    assert await sdk.call("VM.get_current_operations", vm) == {}


async def test_a_vm_that_is_off_loses_sight_of_its_disk_when_its_snapshot_is_read(
    sdk: Sdk, simulation: Simulation
) -> None:
    vm, two = await only_vm(sdk), await named(sdk, "SR", "two")
    await sdk.run("VM.hard_shutdown", vm)
    live = await vdi(sdk, vm)
    disk, snapshot = await disk_of(sdk, vm), await taken(sdk)
    with in_use(simulation, await disk_of(sdk, snapshot)):
        assert (await sdk.refused("VDI.pool_migrate", disk, two, {}))[0] == "VDI_IN_USE"
    assert await disks(sdk, vm) == []
    assert (await sdk.call("VDI.get_record", disk))["SR"] == live["SR"]
    assert uuids(simulation, two) == set()


async def test_what_cannot_be_copied_leaves_everything_where_it_was(sdk: Sdk, simulation: Simulation) -> None:
    vm, two = await only_vm(sdk), await named(sdk, "SR", "two")
    write(simulation, await vdi(sdk, vm), b"x" * 4 * MIB)
    snapshot = await taken(sdk)
    before = [await vdi(sdk, vm), await vdi(sdk, snapshot)]
    simulation.pool.repositories[two].resize_repository(6 * MIB)
    assert (await sdk.refused("VDI.pool_migrate", await disk_of(sdk, vm), two, {}))[0].startswith(
        "SR_BACKEND"
    )
    assert [await vdi(sdk, vm), await vdi(sdk, snapshot)] == before
    assert uuids(simulation, two) == set()


async def test_within_a_pool_every_disk_is_named_and_no_network_changes(sdk: Sdk) -> None:
    vm, (network, *_) = await only_vm(sdk), await sdk.call("network.get_all")
    host, disk = await named(sdk, "host", "host-2"), await disk_of(sdk, await only_vm(sdk))
    dest = await sdk.call("host.migrate_receive", host, network, {})
    assert await sdk.refused("VM.migrate_send", vm, dest, True, {}, {}, {}) == ["VDI_NOT_IN_MAP", disk]
    there = {disk: await named(sdk, "SR", "one")}
    (vif,) = await sdk.call("VM.get_VIFs", vm)
    failure = await sdk.refused("VM.migrate_send", vm, dest, True, there, {vif: network}, {})
    assert failure == ["OPERATION_NOT_ALLOWED", "VIF mapping is not allowed for intra-pool migration"]
    await sdk.run("VM.migrate_send", vm, dest, True, there, {}, {})
    assert await sdk.call("VM.get_resident_on", vm) == host
    assert await disk_of(sdk, vm) == disk


async def test_a_host_moves_no_more_than_three_vms_at_once(sdk: Sdk, simulation: Simulation) -> None:
    vm, two = await only_vm(sdk), await named(sdk, "SR", "two")
    simulation.pool.storage_motions[await sdk.call("VM.get_resident_on", vm)] = 3
    failure = await sdk.refused("VDI.pool_migrate", await disk_of(sdk, vm), two, {})
    assert failure == ["TOO_MANY_STORAGE_MIGRATES", "3"]
