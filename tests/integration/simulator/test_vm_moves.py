"""VMs that go elsewhere: to other hosts and storage, started together, fetched from a URL."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from services.simulator.pool.description import DiskDescription, StorageDescription, VmDescription
from services.simulator.pool.simulation import Simulation
from tests.integration.simulator.pools import MIB, PASSWORD, Sdk, describe, running
from tests.integration.simulator.test_vm_life import disk_of, only_vm

NULL = "OpaqueRef:NULL"


@pytest.fixture
async def simulation(tmp_path: Path) -> AsyncIterator[Simulation]:
    """Two hosts, each with storage of its own; the VM is on the first one's."""
    storage = [
        StorageDescription(name="shared"),
        StorageDescription(name="first", type="ext", host="host-1"),
        StorageDescription(name="second", type="ext", host="host-2"),
    ]
    disk = DiskDescription(size_bytes=8 * MIB, storage="first")
    vm = VmDescription(name="web", host="host-1", disks=[disk])
    description = describe(tmp_path / "pool", hosts=2, vms=[vm], storage=storage)
    async with running(description) as simulation:
        yield simulation


async def named(sdk: Sdk, cls: str, name: str) -> str:
    (ref,) = await sdk.call(f"{cls}.get_by_name_label", name)
    return str(ref)


async def destination(sdk: Sdk) -> dict[str, str]:
    host, (network,) = await named(sdk, "host", "host-2"), await sdk.call("network.get_all")
    return dict(await sdk.call("host.migrate_receive", host, network, {}))


async def test_a_running_vm_goes_to_another_host_with_its_disks_and_their_snapshots(
    sdk: Sdk, simulation: Simulation
) -> None:
    vm = await only_vm(sdk)
    old = await sdk.call("VDI.get_record", await disk_of(sdk, vm))
    simulation.pool.repositories[old["SR"]].disk(old["uuid"]).write(0, b"data" * 128)
    taken = (await sdk.run("VM.snapshot", vm, "snap"))[7:-8]
    target = await named(sdk, "SR", "second")
    dest = await destination(sdk)
    assert await sdk.refused("VM.migrate_send", vm, dest, True, {}, {}, {}) == [
        "VDI_NOT_IN_MAP",
        await disk_of(sdk, vm),
    ]
    await sdk.call("VM.assert_can_migrate", vm, dest, True, {await disk_of(sdk, vm): target}, {}, {})
    result = await sdk.run("VM.migrate_send", vm, dest, True, {await disk_of(sdk, vm): target}, {}, {})
    assert result == f"<value>{vm}</value>"
    record = await sdk.call("VM.get_record", vm)
    assert (record["power_state"], record["resident_on"]) == ("Running", dest["host"])
    new = await sdk.call("VDI.get_record", await disk_of(sdk, vm))
    snapshot = await sdk.call("VDI.get_record", await disk_of(sdk, taken))
    assert new["SR"] == snapshot["SR"] == target
    assert new["uuid"] != old["uuid"]
    assert (snapshot["is_a_snapshot"], snapshot["snapshot_of"]) == (True, await disk_of(sdk, vm))
    for disk in (new, snapshot):
        content = bytearray(512)
        simulation.pool.repositories[target].disk(disk["uuid"]).read_into(0, content)
        assert content == b"data" * 128
    assert await sdk.refused("VDI.get_by_uuid", old["uuid"]) == ["UUID_INVALID", "VDI", old["uuid"]]


async def test_disks_whose_changes_are_tracked_stay_where_they_are(sdk: Sdk) -> None:
    vm = await only_vm(sdk)
    disk = await disk_of(sdk, vm)
    await sdk.run("VDI.enable_cbt", disk)
    target = await named(sdk, "SR", "second")
    arguments: list[Any] = [vm, await destination(sdk), True, {disk: target}, {}, {}]
    assert await sdk.refused("VM.migrate_send", *arguments) == ["VDI_CBT_ENABLED", disk]


async def test_a_host_that_is_none_is_no_destination_and_a_copy_stays_within_the_pool(sdk: Sdk) -> None:
    vm = await only_vm(sdk)
    elsewhere = await destination(sdk) | {"host": "OpaqueRef:elsewhere"}
    assert await sdk.refused("VM.migrate_send", vm, elsewhere, True, {}, {}, {}) == [
        "HANDLE_INVALID",
        "host",
        "OpaqueRef:elsewhere",
    ]
    copy = [vm, await destination(sdk), True, {}, {}, {"copy": "true"}]
    assert (await sdk.refused("VM.migrate_send", *copy))[0] == "OPERATION_NOT_ALLOWED"


async def test_a_vm_boots_only_where_its_storage_memory_and_host_are(sdk: Sdk) -> None:
    vm, other = await only_vm(sdk), await named(sdk, "host", "host-2")
    await sdk.run("VM.hard_shutdown", vm)
    sr = await named(sdk, "SR", "first")
    assert await sdk.refused("VM.assert_can_boot_here", vm, other) == ["VM_REQUIRES_SR", vm, sr]
    assert await sdk.refused("VM.start_on", vm, other, False, False) == ["VM_REQUIRES_SR", vm, sr]
    assert await sdk.refused("VM.assert_agile", vm) == ["HA_CONSTRAINT_VIOLATION_SR_NOT_SHARED", sr]
    own = await named(sdk, "host", "host-1")
    await sdk.call("VM.assert_can_boot_here", vm, own)
    await sdk.call("VM.set_memory", vm, str(2**50))
    assert (await sdk.refused("VM.assert_can_boot_here", vm, own))[0] == "HOST_NOT_ENOUGH_FREE_MEMORY"
    await sdk.call("host.disable", own)
    assert await sdk.refused("VM.assert_can_boot_here", vm, own) == ["HOST_DISABLED", own]


async def test_a_vm_can_be_recovered_where_its_storage_is(sdk: Sdk) -> None:
    vm, session = await only_vm(sdk), sdk.session.handle
    sr = await named(sdk, "SR", "first")
    assert await sdk.call("VM.get_SRs_required_for_recovery", vm, session) == []
    await sdk.call("VM.assert_can_be_recovered", vm, session)
    assert await sdk.refused("VM.recover", vm, session, False) == [
        "VM_TO_IMPORT_IS_NOT_NEWER_VERSION",
        vm,
        "0",
        "0",
    ]
    appliance = await sdk.call("VM_appliance.create", {"name_label": "both", "name_description": ""})
    await sdk.call("VM.set_appliance", vm, appliance)
    assert await sdk.refused("VM.assert_can_be_recovered", vm, session) == [
        "VM_IS_PART_OF_AN_APPLIANCE",
        vm,
        appliance,
    ]
    await sdk.call("VM_appliance.assert_can_be_recovered", appliance, session)
    await sdk.run("VM.hard_shutdown", vm)
    for pbd in await sdk.call("SR.get_PBDs", sr):
        await sdk.call("PBD.unplug", pbd)
    assert await sdk.call("VM.get_SRs_required_for_recovery", vm, session) == [sr]
    assert await sdk.refused("VM_appliance.assert_can_be_recovered", appliance, session) == [
        "VM_REQUIRES_SR",
        vm,
        sr,
    ]


async def test_an_appliance_starts_and_stops_its_vms_in_order_and_tells_which_failed(sdk: Sdk) -> None:
    web = await only_vm(sdk)
    await sdk.run("VM.hard_shutdown", web)
    first = (await sdk.run("VM.clone", web, "first"))[7:-8]
    appliance = await sdk.call("VM_appliance.create", {"name_label": "both", "name_description": ""})
    for order, vm in enumerate((first, web)):
        await sdk.call("VM.set_appliance", vm, appliance)
        await sdk.call("VM.set_order", vm, str(order))
    since = (await sdk.call("event.from", ["message"], "", 0.0))["token"]
    await sdk.run("VM_appliance.start", appliance, False)
    events = (await sdk.call("event.from", ["message"], since, 10.0))["events"]
    started = [event["snapshot"]["obj_uuid"] for event in events]
    assert started == [await sdk.call("VM.get_uuid", vm) for vm in (first, web)]
    await sdk.run("VM_appliance.hard_shutdown", appliance)
    await sdk.call("VM.add_to_blocked_operations", web, "start", "no")
    task = await sdk.wait_for_task(await sdk.call("Async.VM_appliance.start", appliance, False))
    assert task["error_info"] == ["OPERATION_PARTIALLY_FAILED", "VM_appliance.start", web]
    assert await sdk.call("VM.get_power_state", first) == "Running"
    assert await sdk.call("VM_appliance.get_current_operations", appliance) == {}


async def test_a_pool_fetches_an_archive_itself(sdk: Sdk, simulation: Simulation) -> None:
    vm = await only_vm(sdk)
    await sdk.run("VM.hard_shutdown", vm)
    port = simulation.pool.description.https_port
    url = f"https://root:{PASSWORD}@127.0.0.11:{port}/export?ref={vm}"
    sr = await named(sdk, "SR", "shared")
    result = await sdk.run("VM.import", url, sr, False, False)
    (twin,) = [ref for ref in await sdk.call("VM.get_by_name_label", "web") if ref != vm]
    assert result == f"<value><array><data><value>{twin}</value></data></array></value>"
    assert await sdk.call("VDI.get_SR", await disk_of(sdk, twin)) == sr
    for wrong in (f"https://127.0.0.11:{port}/nothing", "ftp://127.0.0.11/x", "http://127.0.0.11:1/"):
        task = await sdk.wait_for_task(await sdk.call("Async.VM.import", wrong, sr, False, False))
        assert task["error_info"][0] == "IMPORT_ERROR_GENERIC"


async def test_a_running_vm_is_changed_within_its_limits(sdk: Sdk) -> None:
    vm = await only_vm(sdk)
    metrics = await sdk.call("VM.get_metrics", vm)
    await sdk.call("VM.set_memory_target_live", vm, str(512 * MIB))
    assert await sdk.call("VM_metrics.get_memory_actual", metrics) == str(512 * MIB)
    assert (await sdk.refused("VM.set_VCPUs_number_live", vm, "9"))[0] == "INVALID_VALUE"
    await sdk.call("VM.set_VCPUs_number_live", vm, "1")
    await sdk.run("VM.hard_shutdown", vm)
    assert (await sdk.refused("VM.set_VCPUs_number_live", vm, "1"))[0] == "VM_BAD_POWER_STATE"
