"""What a backup does to VMs, through the PyPI SDK."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from services.simulator.pool.mishaps import Shutdown
from services.simulator.pool.simulation import Simulation
from services.simulator.storage.ports import StorageRepository
from tests.integration.simulator.pools import MIB, Sdk, describe, running

NULL = "OpaqueRef:NULL"


async def only_vm(sdk: Sdk) -> str:
    (vm,) = await sdk.call("VM.get_by_name_label", "web")
    return str(vm)


async def disk_of(sdk: Sdk, vm: str) -> str:
    for vbd in await sdk.call("VM.get_VBDs", vm):
        record = await sdk.call("VBD.get_record", vbd)
        if record["type"] == "Disk":
            return str(record["VDI"])
    raise AssertionError("the VM has no disk")


async def snapshot(sdk: Sdk, vm: str, name: str = "snap") -> str:
    text = await sdk.run("VM.snapshot", vm, name)
    return text.removeprefix("<value>").removesuffix("</value>")


async def test_snapshot_of_a_running_vm_is_a_halted_template_that_keeps_the_macs(sdk: Sdk) -> None:
    vm = await only_vm(sdk)
    before = await sdk.call("VM.get_record", vm)
    ref = await snapshot(sdk, vm)
    taken, after = await sdk.call("VM.get_record", ref), await sdk.call("VM.get_record", vm)
    assert (taken["is_a_snapshot"], taken["is_a_template"], taken["power_state"]) == (True, True, "Halted")
    assert taken["snapshot_of"] == vm
    assert taken["snapshot_info"]["power-state-at-snapshot"] == "Running"
    assert after["parent"] == ref
    assert after["snapshots"] == [ref]
    assert after["power_state"] == before["power_state"] == "Running"
    assert after["current_operations"] == {}
    macs = [[(await sdk.call("VIF.get_MAC", vif)) for vif in record["VIFs"]] for record in (before, taken)]
    assert macs[0] == macs[1]
    assert taken["allowed_operations"] == ["destroy", "export", "revert", "clone", "copy"]


async def test_snapshot_disk_hangs_on_a_hidden_parent(simulation: Simulation, sdk: Sdk) -> None:
    vm = await only_vm(sdk)
    disk = await disk_of(sdk, vm)
    uuid = await sdk.call("VDI.get_uuid", disk)
    repository = simulation.pool.repositories[await sdk.call("VDI.get_SR", disk)]
    await asyncio.to_thread(repository.disk(uuid).write, 0, b"a" * MIB)
    copy = await sdk.call("VDI.get_record", await disk_of(sdk, await snapshot(sdk, vm)))
    source = await sdk.call("VDI.get_record", disk)
    assert copy["snapshot_of"] == disk
    parent = await sdk.call("VDI.get_by_uuid", copy["sm_config"]["vhd-parent"])
    assert source["sm_config"]["vhd-parent"] == copy["sm_config"]["vhd-parent"]
    assert await sdk.call("VDI.get_managed", parent) is False
    assert int(await sdk.call("VDI.get_physical_utilisation", parent)) >= MIB


async def test_an_asynchronous_call_ends_with_its_result_in_one_event(sdk: Sdk) -> None:
    vm = await only_vm(sdk)
    token = (await sdk.call("event.from", ["task"], "", 0.0))["token"]
    task = await sdk.call("Async.VM.snapshot", vm, "evented")
    seen: list[dict[str, Any]] = []
    while not seen or seen[-1]["status"] == "pending":
        batch = await sdk.call("event.from", ["task"], token, 10.0)
        token = batch["token"]
        seen += [event["snapshot"] for event in batch["events"] if event["ref"] == task]
    assert seen[-1]["status"] == "success"
    assert seen[-1]["result"].startswith("<value>OpaqueRef:")
    assert seen[-1]["progress"] == 1.0
    assert seen[-1]["allowed_operations"] == []


async def test_a_failed_asynchronous_call_says_why_in_its_task(sdk: Sdk) -> None:
    vm = await only_vm(sdk)
    record = await sdk.wait_for_task(await sdk.call("Async.VM.destroy", vm))
    assert (record["status"], record["error_info"]) == (
        "failure",
        ["VM_BAD_POWER_STATE", vm, "halted, suspended", "running"],
    )


async def test_changed_blocks_between_two_snapshots(simulation: Simulation, sdk: Sdk) -> None:
    vm = await only_vm(sdk)
    disk = await disk_of(sdk, vm)
    await sdk.run("VDI.enable_cbt", disk)
    first = await disk_of(sdk, await snapshot(sdk, vm, "first"))
    uuid = await sdk.call("VDI.get_uuid", disk)
    repository = simulation.pool.repositories[await sdk.call("VDI.get_SR", disk)]
    await asyncio.to_thread(repository.disk(uuid).write, 64 * 1024, b"x" * 512)
    second = await disk_of(sdk, await snapshot(sdk, vm, "second"))
    assert await sdk.call("VDI.list_changed_blocks", first, second) == "QAAAAAAAAAAAAAAAAAAAAA=="
    assert (await sdk.refused("VDI.list_changed_blocks", second, first))[0] == "SR_BACKEND_FAILURE_460"
    assert (await sdk.refused("VDI.list_changed_blocks", first, disk)) == [
        "VDI_IN_USE",
        disk,
        "list_changed_blocks",
    ]


async def test_data_destroy_keeps_the_log_and_needs_the_snapshot_vm_gone(sdk: Sdk) -> None:
    vm = await only_vm(sdk)
    await sdk.run("VDI.enable_cbt", await disk_of(sdk, vm))
    ref = await snapshot(sdk, vm)
    disk = await disk_of(sdk, ref)
    await sdk.call("VM.destroy", ref)
    await sdk.run("VDI.data_destroy", disk)
    record = await sdk.call("VDI.get_record", disk)
    assert (record["type"], record["cbt_enabled"]) == ("cbt_metadata", True)
    second = await disk_of(sdk, await snapshot(sdk, vm, "second"))
    assert await sdk.call("VDI.list_changed_blocks", disk, second) == "AAAAAAAAAAAAAAAAAAAAAA=="
    assert await sdk.refused("VDI.get_nbd_info", disk) == ["VDI_INCOMPATIBLE_TYPE", disk, "CBT metadata"]


async def test_a_reverted_vm_has_new_disks_with_the_old_contents(simulation: Simulation, sdk: Sdk) -> None:
    vm = await only_vm(sdk)
    disk = await disk_of(sdk, vm)
    uuid, sr = await sdk.call("VDI.get_uuid", disk), await sdk.call("VDI.get_SR", disk)
    repository = simulation.pool.repositories[sr]
    await asyncio.to_thread(repository.disk(uuid).write, 0, b"old" + bytes(509))
    ref = await snapshot(sdk, vm)
    await asyncio.to_thread(repository.disk(uuid).write, 0, b"new" + bytes(509))
    await sdk.call("VM.set_name_label", vm, "renamed")
    await sdk.call("VM.set_ha_restart_priority", vm, "restart")
    metrics = await sdk.call("VM_metrics.get_all")
    await sdk.run("VM.revert", ref)
    record = await sdk.call("VM.get_record", vm)
    assert (record["name_label"], record["power_state"]) == ("web", "Halted")
    assert len(await sdk.call("VM_metrics.get_all")) == len(metrics)
    assert await sdk.call("VM.get_ha_always_run", vm) is False
    new_disk = await disk_of(sdk, vm)
    assert new_disk != disk
    content = bytearray(512)
    await asyncio.to_thread(repository.disk(await sdk.call("VDI.get_uuid", new_disk)).read_into, 0, content)
    assert content[:3] == b"old"
    assert await sdk.refused("VDI.get_record", disk) == ["HANDLE_INVALID", "VDI", disk]


async def test_clone_of_a_halted_vm_has_new_macs_and_nothing_blocked(sdk: Sdk) -> None:
    vm = await only_vm(sdk)
    await sdk.call("VM.add_to_blocked_operations", vm, "start", "no")
    await sdk.run("VM.hard_shutdown", vm)
    text = await sdk.run("VM.clone", vm, "twin")
    twin = await sdk.call("VM.get_record", text[7:-8])
    source = await sdk.call("VM.get_record", vm)
    assert twin["blocked_operations"] == {}
    assert twin["other_config"]["mac_seed"] != source["other_config"]["mac_seed"]
    assert await sdk.refused("VM.start", vm, False, False) == ["OPERATION_BLOCKED", vm, "no"]
    await sdk.run("VM.start", text[7:-8], False, False)


async def test_a_checkpoint_holds_memory_and_the_vm_runs_on(sdk: Sdk) -> None:
    vm = await only_vm(sdk)
    text = await sdk.run("VM.checkpoint", vm, "with memory")
    record = await sdk.call("VM.get_record", text[7:-8])
    assert record["power_state"] == "Suspended"
    assert await sdk.call("VDI.get_type", record["suspend_VDI"]) == "suspend"
    assert await sdk.call("VM.get_power_state", vm) == "Running"


async def test_a_conflicting_call_waits_for_its_turn(simulation: Simulation, sdk: Sdk) -> None:
    vm = await only_vm(sdk)
    await sdk.run("VM.hard_shutdown", vm)
    disk = await disk_of(sdk, vm)
    repository = simulation.pool.repositories[await sdk.call("VDI.get_SR", disk)]
    uuid = await sdk.call("VDI.get_uuid", disk)
    await asyncio.to_thread(repository.disk(uuid).write, 0, b"x" * 8 * MIB)
    copying = await sdk.call("Async.VM.copy", vm, "copy", NULL)
    taking = await sdk.call("Async.VM.snapshot", vm, "after the copy")
    copied, taken = await sdk.wait_for_task(copying), await sdk.wait_for_task(taking)
    assert (copied["status"], taken["status"]) == ("success", "success")
    assert copied["finished"] <= taken["finished"]


async def test_a_hard_shutdown_calls_off_what_the_guest_was_asked_for(
    simulation: Simulation, sdk: Sdk
) -> None:
    vm, other = await only_vm(sdk), await Sdk(simulation).log_in()
    simulation.pool.mishaps.set_shutdown(await sdk.call("VM.get_uuid", vm), Shutdown(delay_s=3600.0))
    asked = await sdk.call("Async.VM.clean_shutdown", vm)
    waiting = asyncio.create_task(other.refused("VM.clean_reboot", vm))
    await sdk.call("VM.hard_shutdown", vm)
    assert (await sdk.wait_for_task(asked))["status"] == "cancelled"
    assert (await waiting)[0] == "VM_BAD_POWER_STATE"
    other.close()
    assert await sdk.call("VM.get_power_state", vm) == "Halted"
    assert await sdk.call("VM.get_current_operations", vm) == {}


async def first_word(repository: StorageRepository, disk: str) -> str:
    block = bytearray(512)
    await asyncio.to_thread(repository.disk(disk).read_into, 0, block)
    return block.decode().split()[0]


@pytest.mark.parametrize("able", [True, False])
async def test_a_disk_goes_back_itself_where_storage_can_do_that(tmp_path: Path, able: bool) -> None:
    description = describe(tmp_path / "pool", version="26.17", storage_reverts=able)
    async with running(description) as simulation:
        sdk = await Sdk(simulation).log_in()
        vm = await only_vm(sdk)
        disk = await disk_of(sdk, vm)
        await sdk.run("VDI.enable_cbt", disk)
        uuid = await sdk.call("VDI.get_uuid", disk)
        repository = simulation.pool.repositories[await sdk.call("VDI.get_SR", disk)]
        await asyncio.to_thread(repository.disk(uuid).write, 0, b"before".ljust(512))
        taken = await snapshot(sdk, vm)
        copy = await disk_of(sdk, taken)
        await asyncio.to_thread(repository.disk(uuid).write, 0, b"after".ljust(512))
        assert await sdk.refused("VDI.revert", disk) == (
            ["HANDLE_INVALID", "VDI", NULL] if able else ["UNIMPLEMENTED_IN_SM_BACKEND", "VDI.revert"]
        )
        if able:
            await sdk.run("VDI.revert", copy)
            assert await first_word(repository, uuid) == "before"
            assert await sdk.call("VDI.get_cbt_enabled", disk) is False
            assert await sdk.call("VDI.get_snapshot_of", copy) == disk
        await sdk.run("VM.revert", taken)
        assert (await disk_of(sdk, vm) == disk) is able
        now = await disk_of(sdk, vm)
        assert await first_word(repository, await sdk.call("VDI.get_uuid", now)) == "before"
        assert await sdk.call("VDI.get_snapshot_of", copy) == now
        assert await sdk.call("VDI.get_cbt_enabled", now) is False
        assert await sdk.call("VDI.get_cbt_enabled", copy) is True
        await sdk.call("VM.start", vm, False, False)
        sdk.close()
