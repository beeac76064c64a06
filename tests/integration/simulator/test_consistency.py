"""What every record says of others and of itself stays true, whatever is done to a VM."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from services.simulator.pool import allowed_operations
from services.simulator.pool.description import (
    DiskDescription,
    HostDescription,
    NetworkDescription,
    VmDescription,
)
from services.simulator.pool.simulation import Simulation
from tests.integration.simulator.pools import MIB, Sdk, describe, running

RELATIONS = (
    ("VM", "VBDs", "VBD", "VM"),
    ("VM", "VIFs", "VIF", "VM"),
    ("VM", "consoles", "console", "VM"),
    ("VM", "snapshots", "VM", "snapshot_of"),
    ("VM", "children", "VM", "parent"),
    ("VDI", "VBDs", "VBD", "VDI"),
    ("VDI", "snapshots", "VDI", "snapshot_of"),
    ("SR", "VDIs", "VDI", "SR"),
    ("SR", "PBDs", "PBD", "SR"),
    ("host", "PBDs", "PBD", "host"),
    ("host", "PIFs", "PIF", "host"),
    ("host", "resident_VMs", "VM", "resident_on"),
    ("host", "host_CPUs", "host_cpu", "host"),
    ("host", "certificates", "Certificate", "host"),
    ("host", "PUSBs", "PUSB", "host"),
    ("USB_group", "PUSBs", "PUSB", "USB_group"),
    ("PIF", "VLAN_slave_of", "VLAN", "tagged_PIF"),
    ("PIF", "bond_master_of", "Bond", "master"),
    ("Bond", "slaves", "PIF", "bond_slave_of"),
    ("network", "VIFs", "VIF", "network"),
    ("network", "PIFs", "PIF", "network"),
    ("task", "subtasks", "task", "subtask_of"),
)
"""(class, set of references, class, reference back): xapi, ocaml/idl/datamodel.ml ``all_relations``."""
MAY_DANGLE = {("VM", "snapshot_of"), ("VM", "parent"), ("VDI", "snapshot_of")}
"""A snapshot outlives what it was taken of."""
RULED = ("VM", "VDI", "VBD", "VIF", "SR")
"""Classes whose allowed_operations follow from their state."""


@pytest.fixture
async def simulation(tmp_path: Path) -> AsyncIterator[Simulation]:
    """Two hosts on two networks, a USB device; ``web`` runs on the first host with two disks."""
    disks = [DiskDescription(size_bytes=8 * MIB), DiskDescription(size_bytes=4 * MIB)]
    vms = [VmDescription(name="web", host="host-1", disks=disks)]
    hosts = [
        HostDescription(name=f"host-{n}", address=f"127.0.0.1{n}", cpus=1, usb_devices=["Key"] * (n == 1))
        for n in (1, 2)
    ]
    networks = [
        NetworkDescription(name="Pool-wide network", purpose=["nbd"]),
        NetworkDescription(name="More"),
    ]
    async with running(describe(tmp_path / "pool", hosts, vms=vms, networks=networks)) as simulation:
        yield simulation


CHANGING = ("SR", "VDI")
"""Classes whose objects change although nobody calls: a storage manager merges images."""


class Watched:
    """Calls of the SDK, after each of which every record is looked at."""

    def __init__(self, sdk: Sdk, simulation: Simulation) -> None:
        self._sdk = sdk
        self._simulation = simulation

    async def call(self, method: str, *params: Any) -> Any:
        result = await self._sdk.call(method, *params)
        await self.look(method)
        return result

    async def look(self, after: str) -> None:
        db, newest, records = self._simulation.pool.db, -1, {}
        while newest != db.newest(CHANGING):
            newest, records = db.newest(CHANGING), await self._records()
        self._both_sides(records, after)
        self._nothing_dangles(records, after)
        self._operations(after)

    async def _records(self) -> dict[str, dict[str, dict[str, Any]]]:
        return {
            message.cls: await self._sdk.call(name)
            for name, message in self._simulation.pool.model.messages.items()
            if message.name == "get_all_records" and not message.removed
        }

    @staticmethod
    def _both_sides(records: dict[str, dict[str, dict[str, Any]]], after: str) -> None:
        for cls, members, other, back in RELATIONS:
            for ref, record in records[cls].items():
                expected = {one for one, that in records[other].items() if that[back] == ref}
                assert set(record[members]) == expected, f"{cls}.{members} after {after}"

    def _nothing_dangles(self, records: dict[str, dict[str, dict[str, Any]]], after: str) -> None:
        known = {ref for table in records.values() for ref in table}
        known |= {row.ref for cls in ("session", "user") for row in self._simulation.pool.db.rows(cls)}
        for cls, table in records.items():
            for record in table.values():
                for field, value in record.items():
                    refs = [value] if isinstance(value, str) else value if isinstance(value, list) else []
                    gone = {
                        ref for ref in refs if isinstance(ref, str) and ref.startswith("OpaqueRef:")
                    } - known
                    if (cls, field) not in MAY_DANGLE:
                        assert gone <= {"OpaqueRef:NULL"}, f"{cls}.{field} after {after}"

    def _operations(self, after: str) -> None:
        """Nothing goes on, and every list is what it would be if it were made now."""
        db = self._simulation.pool.db
        for cls in RULED:
            for row in db.rows(cls):
                assert row["current_operations"] == {}, f"{cls} after {after}"
                listed = list(row["allowed_operations"])
                allowed_operations.refresh(db, cls, row.ref)
                if not row.get("is_control_domain"):
                    assert listed == row["allowed_operations"], f"{cls} {row.get('name_label')} after {after}"


async def test_records_agree_after_every_step_of_a_life(sdk: Sdk, simulation: Simulation) -> None:
    watched = Watched(sdk, simulation)
    await watched.look("the start")
    (vm,) = await sdk.call("VM.get_by_name_label", "web")
    vbds = [await sdk.call("VBD.get_record", vbd) for vbd in await sdk.call("VM.get_VBDs", vm)]
    disk = next(vbd["VDI"] for vbd in vbds if vbd["userdevice"] == "1")
    first, second = await sdk.call("host.get_all")
    for method in ("VDI.enable_cbt", "VDI.disable_cbt", "VDI.enable_cbt"):
        await watched.call(method, disk)
    snapshot = await watched.call("VM.snapshot", vm, "one")
    await watched.call("VM.set_is_a_template", snapshot, False)
    later = await watched.call("VM.snapshot", vm, "two")
    checkpoint = await watched.call("VM.checkpoint", vm, "asleep")
    await watched.call("VM.pool_migrate", vm, second, {})
    for method in ("VM.pause", "VM.unpause", "VM.suspend"):
        await watched.call(method, vm)
    await watched.call("VM.resume", vm, False, False)
    await watched.call("VM.clean_reboot", vm)
    (cbt,) = [ref for ref in await sdk.call("VM.get_VBDs", later) if await tracked(sdk, ref)]
    base = await sdk.call("VBD.get_VDI", cbt)
    await watched.call("VM.destroy", later)
    await watched.call("VDI.data_destroy", base)
    await watched.call("VM.clean_shutdown", vm)
    clone = await watched.call("VM.clone", vm, "clone")
    copy = await watched.call("VM.copy", snapshot, "copy", "OpaqueRef:NULL")
    await watched.call("VM.provision", clone) if await sdk.call("VM.get_is_a_template", clone) else None
    await watched.call("VM.start_on", clone, first, False, False)
    await watched.call("VM.hard_shutdown", clone)
    await watched.call("VM.revert", checkpoint)
    await watched.call("VM.resume_on", vm, first, False, False)
    await watched.call("VM.revert", snapshot)
    await watched.call("VM.start", vm, True, False)
    await watched.call("VM.hard_shutdown", vm)
    await watched.call("VDI.resize", (await disks(sdk, clone))[0], str(16 * MIB))
    await watched.call("VDI.destroy", (await disks(sdk, clone))[0])
    for gone in (clone, copy, vm, snapshot, checkpoint):
        left = await disks(sdk, gone)
        if await sdk.call("VM.get_power_state", gone) != "Halted":
            await watched.call("VM.hard_shutdown", gone)
        await watched.call("VM.destroy", gone)
        for ref in left:
            await watched.call("VDI.destroy", ref)


async def tracked(sdk: Sdk, vbd: str) -> bool:
    record = await sdk.call("VBD.get_record", vbd)
    return record["type"] == "Disk" and bool(await sdk.call("VDI.get_cbt_enabled", record["VDI"]))


async def disks(sdk: Sdk, vm: str) -> list[str]:
    vbds = [await sdk.call("VBD.get_record", vbd) for vbd in await sdk.call("VM.get_VBDs", vm)]
    return [vbd["VDI"] for vbd in vbds if vbd["type"] == "Disk"]


async def test_records_agree_while_devices_come_and_go(sdk: Sdk, simulation: Simulation) -> None:
    watched = Watched(sdk, simulation)
    (vm,) = await sdk.call("VM.get_by_name_label", "web")
    (network,) = {await sdk.call("VIF.get_network", vif) for vif in await sdk.call("VM.get_VIFs", vm)}
    (pool,) = await sdk.call("pool.get_all")
    sr = await sdk.call("pool.get_default_SR", pool)
    record = {"SR": sr, "name_label": "more", "virtual_size": str(2 * MIB), "type": "user"}
    more = {"sharable": False, "read_only": False, "other_config": {}}
    disk = await watched.call("VDI.create", record | more)
    vbd = {"VM": vm, "VDI": disk, "userdevice": "autodetect", "bootable": False, "mode": "RW", "type": "Disk"}
    rest = {"empty": False, "other_config": {}, "qos_algorithm_type": "", "qos_algorithm_params": {}}
    plugged = await watched.call("VBD.create", vbd | rest | {"unpluggable": True})
    await watched.call("VBD.plug", plugged)
    await watched.call("VBD.unplug", plugged)
    await watched.call("VBD.destroy", plugged)
    vif = {"device": "5", "network": network, "VM": vm, "MAC": "", "MTU": "1500", "other_config": {}}
    card = await watched.call("VIF.create", vif | {"qos_algorithm_type": "", "qos_algorithm_params": {}})
    await watched.call("VIF.plug", card)
    await watched.call("VIF.unplug", card)
    await watched.call("VIF.destroy", card)
    (drive,) = [ref for ref in await sdk.call("VM.get_VBDs", vm) if await sdk.call("VBD.get_empty", ref)]
    isos = [r for r, sr in (await sdk.call("SR.get_all_records")).items() if sr["content_type"] == "iso"]
    (image, *_) = await sdk.call("SR.get_VDIs", isos[0])
    await watched.call("VBD.insert", drive, image)
    await watched.call("VBD.eject", drive)
    await watched.call("VDI.destroy", disk)
    await watched.call("SR.scan", sr)


async def test_records_agree_while_interfaces_are_divided_and_joined(
    sdk: Sdk, simulation: Simulation
) -> None:
    watched = Watched(sdk, simulation)
    records = (await sdk.call("host.get_all_records")).values()
    assert {host["name_label"]: len(host["PUSBs"]) for host in records} == {"host-1": 1, "host-2": 0}
    (last,) = await sdk.call("host.get_by_name_label", "host-2")
    pifs = await sdk.call("host.get_PIFs", last)
    networks = [await watched.call("network.create", {"name_label": n, "other_config": {}}) for n in "ab"]
    (plain,) = [pif for pif in pifs if not await sdk.call("PIF.get_management", pif)]
    vlan = await watched.call("VLAN.create", plain, "7", networks[0])
    assert await sdk.call("PIF.get_VLAN_slave_of", plain) == [vlan]
    await watched.call("VLAN.destroy", vlan)
    bond = await watched.call("Bond.create", networks[1], pifs, "", "balance-slb", {})
    master = await sdk.call("Bond.get_master", bond)
    assert await sdk.call("PIF.get_bond_master_of", master) == [bond]
    assert set(await sdk.call("Bond.get_slaves", bond)) == set(pifs)
    await watched.call("Bond.destroy", bond)
