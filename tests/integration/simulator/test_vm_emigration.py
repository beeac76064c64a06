"""VMs that leave their pool for another one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from services.simulator.pool.description import (
    DiskDescription,
    HostDescription,
    NetworkDescription,
    StorageDescription,
    VmDescription,
)
from services.simulator.pool.simulation import Simulation
from tests.integration.simulator.pools import MIB, Sdk, describe, running
from tests.integration.simulator.test_vm_life import disk_of, only_vm

NULL = "OpaqueRef:NULL"


@dataclass
class Sides:
    """``here`` is where the VM is; ``there`` has a host with shared storage and a network of another name."""

    here: Sdk
    there: Sdk
    pool_here: Simulation
    pool_there: Simulation

    async def destination(self) -> dict[str, str]:
        (host,) = await self.there.call("host.get_all")
        (network,) = await self.there.call("network.get_by_name_label", "Over there")
        return dict(await self.there.call("host.migrate_receive", host, network, {}))

    async def wish(self, vm: str, **options: str) -> list[Any]:
        """What ``VM.migrate_send`` takes, with everything mapped."""
        (sr,) = await self.there.call("SR.get_by_name_label", "Elsewhere")
        (network,) = await self.there.call("network.get_by_name_label", "Over there")
        vifs = {vif: network for vif in await self.here.call("VM.get_VIFs", vm)}
        disks = {await disk_of(self.here, vm): sr}
        return [vm, await self.destination(), True, disks, vifs, options]

    async def arrived(self, uuid: str) -> dict[str, Any]:
        ref = await self.there.call("VM.get_by_uuid", uuid)
        return dict(await self.there.call("VM.get_record", ref)) | {"ref": ref}


@pytest.fixture
async def sides(tmp_path: Path) -> AsyncIterator[Sides]:
    async with two_pools(tmp_path) as sides:
        yield sides


@asynccontextmanager
async def two_pools(tmp_path: Path, **values: Any) -> AsyncIterator[Sides]:
    host = HostDescription(name="other-1", address="127.0.0.31", cpus=1)
    other = describe(
        tmp_path / "there",
        hosts=1,
        vms=[],
        storage=[StorageDescription(name="Elsewhere")],
        networks=[NetworkDescription(name="Over there", purpose=["nbd"])],
        **values,
    ).model_copy(update={"hosts": [host]})
    disk = DiskDescription(size_bytes=8 * MIB)
    vm = VmDescription(name="web", host="host-1", disks=[disk], tags=["t"], os_name="A system of its own")
    async with running(describe(tmp_path / "here", vms=[vm], **values)) as here, running(other) as there:
        first, second = await Sdk(here).log_in(), await Sdk(there, host=21).log_in()
        sides = Sides(first, second, here, there)
        yield sides
        sides.here.close()
        sides.there.close()


def write(simulation: Simulation, vdi: dict[str, Any], offset: int, data: bytes) -> None:
    simulation.pool.repositories[vdi["SR"]].disk(vdi["uuid"]).write(offset, data)


def read(simulation: Simulation, vdi: dict[str, Any], offset: int, size: int = 512) -> bytes:
    buffer = bytearray(size)
    simulation.pool.repositories[vdi["SR"]].disk(vdi["uuid"]).read_into(offset, buffer)
    return bytes(buffer)


async def test_a_running_vm_is_gone_here_and_runs_there_with_its_disks_snapshots_and_addresses(
    sides: Sides,
) -> None:
    here, there = sides.here, sides.there
    vm = await only_vm(here)
    old_disk = await here.call("VDI.get_record", await disk_of(here, vm))
    write(sides.pool_here, old_disk, 0, b"then" * 128)
    taken = (await here.run("VM.snapshot", vm, "snap"))[7:-8]
    write(sides.pool_here, old_disk, 4 * MIB, b"now!" * 128)
    old = await here.call("VM.get_record", vm)
    (old_vif,) = [await here.call("VIF.get_record", vif) for vif in old["VIFs"]]
    taken_uuid = await here.call("VM.get_uuid", taken)

    await here.call("VM.assert_can_migrate", *await sides.wish(vm))
    assert await there.call("VM.get_by_name_label", "web") == [], "to ask changes nothing there"
    result = await here.run("VM.migrate_send", *await sides.wish(vm))

    new = await sides.arrived(old["uuid"])
    assert result == f"<value>{new['ref']}</value>"
    assert (new["power_state"], new["tags"], new["name_label"]) == ("Running", ["t"], "web")
    assert [new["resident_on"]] == await there.call("host.get_all")
    assert new["last_boot_CPU_flags"] == old["last_boot_CPU_flags"]
    (vif,) = [await there.call("VIF.get_record", vif) for vif in new["VIFs"]]
    assert (vif["MAC"], vif["uuid"]) == (old_vif["MAC"], old_vif["uuid"])
    assert await there.call("network.get_name_label", vif["network"]) == "Over there"
    assert "maps_to" not in vif["other_config"]
    disk = await there.call("VDI.get_record", await disk_of(there, new["ref"]))
    assert disk["uuid"] != old_disk["uuid"]
    assert disk["name_label"] == old_disk["name_label"]
    assert read(sides.pool_there, disk, 0) == b"then" * 128
    assert read(sides.pool_there, disk, 4 * MIB) == b"now!" * 128
    snapshot = await sides.arrived(taken_uuid)
    assert (snapshot["is_a_snapshot"], snapshot["snapshot_of"]) == (True, new["ref"])
    its_disk = await there.call("VDI.get_record", await disk_of(there, snapshot["ref"]))
    assert (its_disk["is_a_snapshot"], its_disk["snapshot_of"]) == (True, await disk_of(there, new["ref"]))
    assert read(sides.pool_there, its_disk, 4 * MIB) == bytes(512)
    metrics = await there.call("VM_guest_metrics.get_record", new["guest_metrics"])
    assert metrics["os_version"]["name"] == "A system of its own"

    messages = (await there.call("message.get_all_records")).values()
    assert "VM_SNAPSHOTTED" in {each["name"] for each in messages if each["obj_uuid"] == old["uuid"]}

    for uuid in (old["uuid"], taken_uuid):
        assert await here.refused("VM.get_by_uuid", uuid) == ["UUID_INVALID", "VM", uuid]
    assert await here.refused("VDI.get_by_uuid", old_disk["uuid"]) == [
        "UUID_INVALID",
        "VDI",
        old_disk["uuid"],
    ]
    assert old_disk["uuid"] not in {
        node.uuid for node in sides.pool_here.pool.repositories[old_disk["SR"]].nodes()
    }
    await there.run("VM.clean_shutdown", new["ref"])
    await there.run("VM.start", new["ref"], False, False)


async def test_a_copy_of_a_halted_vm_is_another_vm(sides: Sides) -> None:
    vm = await only_vm(sides.here)
    copied = await sides.wish(vm, copy="true")
    assert await sides.here.refused("VM.migrate_send", *copied) == [
        "VM_BAD_POWER_STATE",
        vm,
        "halted",
        "running",
    ]
    await sides.here.run("VM.hard_shutdown", vm)
    await sides.here.run("VM.migrate_send", *copied)
    old = await sides.here.call("VM.get_record", vm)
    (ref,) = await sides.there.call("VM.get_by_name_label", "web")
    new = await sides.there.call("VM.get_record", ref)
    assert (old["power_state"], new["power_state"]) == ("Halted", "Halted")
    assert new["uuid"] != old["uuid"]
    macs = [await sides.here.call("VIF.get_MAC", old["VIFs"][0])]
    macs += [await sides.there.call("VIF.get_MAC", new["VIFs"][0])]
    assert macs[0] != macs[1]
    assert await sides.here.call("VM.get_current_operations", vm) == {}


async def test_a_suspended_vm_takes_its_memory_along(sides: Sides) -> None:
    vm = await only_vm(sides.here)
    uuid = await sides.here.call("VM.get_uuid", vm)
    await sides.here.run("VM.suspend", vm)
    await sides.here.run("VM.migrate_send", *await sides.wish(vm))
    new = await sides.arrived(uuid)
    assert new["power_state"] == "Suspended"
    assert await sides.there.call("VDI.get_type", new["suspend_VDI"]) == "suspend"
    await sides.there.run("VM.resume", new["ref"], False, False)
    disks = await sides.here.call("VDI.get_all_records")
    assert [disk["name_label"] for disk in disks.values() if disk["type"] == "suspend"] == []


async def test_what_keeps_a_vm_here_is_said_before_anything_moves(sides: Sides) -> None:
    here, vm = sides.here, await only_vm(sides.here)
    disk, (vif,) = await disk_of(here, vm), await here.call("VM.get_VIFs", vm)
    vm_, dest, live, disks, networks, options = await sides.wish(vm)
    (host,) = await sides.there.call("host.get_all")

    async def refused(**changed: Any) -> list[str]:
        asked = {"dest": dest, "live": live, "disks": disks, "vifs": networks} | changed
        return await here.refused("VM.assert_can_migrate", vm_, *asked.values(), options)

    assert await refused(disks={}) == ["VDI_NOT_IN_MAP", disk]
    assert await here.refused("VM.migrate_send", vm_, dest, live, {}, networks, {}) == [
        "VDI_NOT_IN_MAP",
        disk,
    ]
    assert await refused(vifs={}) == ["VIF_NOT_IN_MAP", vif]
    assert await refused(disks={disk: "OpaqueRef:none"}) == ["HANDLE_INVALID", "SR", "OpaqueRef:none"]
    assert await refused(vifs={vif: "OpaqueRef:none"}) == ["HANDLE_INVALID", "network", "OpaqueRef:none"]
    assert await refused(dest={"host": host}) == ["INTERNAL_ERROR", "Not_found"]
    nowhere = dest | {"master": "https://127.0.0.31:1/"}
    assert await refused(dest=nowhere) == ["CANNOT_CONTACT_HOST", "127.0.0.31"]
    ended = [vm_, dest | {"session_id": NULL}, live, disks, networks, options]
    task = await here.wait_for_task(await here.call("Async.VM.assert_can_migrate", *ended))
    assert task["error_info"] == ["SESSION_INVALID", NULL]
    (iso,) = await sides.there.call("SR.get_by_name_label", "XenServer Tools")
    assert (await refused(disks={disk: iso}))[:2] == ["SR_DOES_NOT_SUPPORT_MIGRATION", iso]
    await here.call("VDI.enable_cbt", disk)
    assert await refused() == ["VDI_CBT_ENABLED", disk]
    await here.call("VDI.disable_cbt", disk)
    await sides.there.call("host.disable", host)
    assert await refused() == ["HOST_DISABLED", host]
    await sides.there.call("host.enable", host)
    flags = {"vendor": "GenuineIntel", "features": "ffffffff"}
    sides.pool_here.pool.db.set("VM", vm, "last_boot_CPU_flags", flags)
    assert (await refused())[:3] == ["VM_INCOMPATIBLE_WITH_THIS_HOST", vm, host]
    assert await sides.there.call("VM.get_by_name_label", "web") == []
    assert await here.call("VM.get_power_state", vm) == "Running"


async def test_what_fails_midway_leaves_the_vm_here_and_nothing_there(sides: Sides) -> None:
    here, vm = sides.here, await only_vm(sides.here)
    before = set(await sides.there.call("VDI.get_all"))
    disk = await here.call("VDI.get_record", await disk_of(here, vm))
    write(sides.pool_here, disk, 0, b"x" * 4 * MIB)
    there = sides.pool_there.pool
    there.coordinator.cut_http(after_bytes=MIB)
    task = await here.wait_for_task(await here.call("Async.VM.migrate_send", *await sides.wish(vm)))
    assert task["status"] == "failure"
    assert set(await sides.there.call("VDI.get_all")) == before
    assert await sides.there.call("VM.get_by_name_label", "web") == []
    assert await here.call("VM.get_power_state", vm) == "Running"
    assert await here.call("VM.get_current_operations", vm) == {}
    await here.run("VM.migrate_send", *await sides.wish(vm))


async def test_a_migration_can_be_called_off(sides: Sides) -> None:
    here, vm = sides.here, await only_vm(sides.here)
    disk = await here.call("VDI.get_record", await disk_of(here, vm))
    write(sides.pool_here, disk, 0, b"x" * 8 * MIB)
    before = set(await sides.there.call("VDI.get_all"))
    sides.pool_there.pool.coordinator.link.limit(MIB)
    task = await here.call("Async.VM.migrate_send", *await sides.wish(vm))
    token = ""
    while set(await sides.there.call("VDI.get_all")) == before:
        token = (await sides.there.call("event.from", ["VDI"], token, 10.0))["token"]
    await here.call("task.cancel", task)
    sides.pool_there.pool.coordinator.link.limit(0)
    assert (await here.wait_for_task(task))["status"] == "cancelled"
    assert set(await sides.there.call("VDI.get_all")) == before
    assert await here.call("VM.get_power_state", vm) == "Running"


async def test_only_who_may_migrate_vms_takes_them_in(sides: Sides) -> None:
    port = sides.pool_there.pool.description.http_port
    for path in ("/services/xenops", "/services/SM", "/services/member", "/services/hello", "/messages"):
        reader, writer = await asyncio.open_connection("127.0.0.31", port)
        writer.write(f"PUT {path}?vm=x HTTP/1.1\r\nContent-Length: 2\r\n\r\n{{}}".encode())
        assert b"401" in await reader.readline()
        writer.close()
        await writer.wait_closed()


async def under_way(sides: Sides, vm: str) -> str:
    """A migration that has begun to send a disk and cannot end by itself; its task."""
    disk = await sides.here.call("VDI.get_record", await disk_of(sides.here, vm))
    write(sides.pool_here, disk, 0, b"x" * 8 * MIB)
    before = set(await sides.there.call("VDI.get_all"))
    sides.pool_there.pool.coordinator.link.limit(1)
    task = str(await sides.here.call("Async.VM.migrate_send", *await sides.wish(vm)))
    token = ""
    while set(await sides.there.call("VDI.get_all")) == before:
        token = (await sides.there.call("event.from", ["VDI"], token, 10.0))["token"]
    return task


async def test_a_host_that_dies_while_a_vm_comes_leaves_it_where_it_was(sides: Sides) -> None:
    here, vm = sides.here, await only_vm(sides.here)
    task = await under_way(sides, vm)
    there = sides.pool_there.pool
    await there.failures.kill(there.coordinator)
    assert (await here.wait_for_task(task))["error_info"] == ["CANNOT_CONTACT_HOST", "127.0.0.31"]
    assert await here.call("VM.get_power_state", vm) == "Running"
    assert await here.call("VM.get_current_operations", vm) == {}
    there.coordinator.link.limit(0)
    await there.failures.revive(there.coordinator)
    sides.there.close()
    sides.there = await Sdk(sides.pool_there, host=21).log_in()
    await here.run("VM.migrate_send", *await sides.wish(vm))


async def test_a_toolstack_that_restarts_while_a_vm_goes_keeps_it_and_leaves_a_disk_there(
    sides: Sides,
) -> None:
    here, vm = sides.here, await only_vm(sides.here)
    await under_way(sides, vm)
    home = sides.pool_here.pool
    await home.failures.restart_toolstack(home.coordinator)
    sides.pool_there.pool.coordinator.link.limit(0)
    here.close()
    here = sides.here = await Sdk(sides.pool_here).log_in()
    assert await here.call("VM.get_power_state", vm) == "Running"
    assert await here.call("VM.get_current_operations", vm) == {}
    (name,) = [
        disk["name_label"] for disk in (await here.call("VDI.get_all_records")).values() if disk["VBDs"]
    ]
    assert len(await sides.there.call("VDI.get_by_name_label", name)) == 1
    assert await sides.there.call("VM.get_by_name_label", "web") == []
    await here.run("VM.migrate_send", *await sides.wish(vm))


async def test_a_virtual_tpm_goes_along(sides: Sides) -> None:
    here, vm = sides.here, await only_vm(sides.here)
    await here.run("VM.hard_shutdown", vm)
    uuid = await here.call("VM.get_uuid", vm)
    tpm = await here.call("VTPM.create", vm, False)
    await here.run("VM.start", vm, False, False)
    content = sides.pool_here.pool.tpm_contents[tpm]
    await here.run("VM.migrate_send", *await sides.wish(vm))
    (new,) = (await sides.arrived(uuid))["VTPMs"]
    assert sides.pool_there.pool.tpm_contents[new] == content
    assert sides.pool_here.pool.tpm_contents == {}


async def test_disks_get_the_image_format_that_is_asked_for(tmp_path: Path) -> None:
    async with two_pools(tmp_path, version="26.17") as sides:
        here, there, vm = sides.here, sides.there, await only_vm(sides.here)
        disk = await disk_of(here, vm)
        old = await here.call("VDI.get_record", disk)
        assert old["sm_config"]["image-format"] == "vhd"
        write(sides.pool_here, old, MIB, b"same" * 128)
        uuid = await here.call("VM.get_uuid", vm)
        await here.run("VM.migrate_send", *await sides.wish(vm), {}, {disk: "qcow2"})
        new = await there.call("VDI.get_record", await disk_of(there, (await sides.arrived(uuid))["ref"]))
        assert new["sm_config"]["image-format"] == "qcow2"
        assert read(sides.pool_there, new, MIB) == b"same" * 128
