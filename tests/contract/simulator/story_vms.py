"""The life of a VM: made in every wrong way, run, snapshotted, cloned, destroyed."""

from __future__ import annotations

from typing import Any

from services.simulator.database.row import Row
from services.simulator.model.defaults import NULL_REF
from services.simulator.pool.pool import Guest
from tests.contract.simulator.stage import Stage, Story
from tests.contract.simulator.story_rpc import introduce_pool
from tests.integration.simulator.pools import MIB

VM = "OpaqueRef:e9155b31-a04b-30bc-b945-ef06c920cd55"
DISKS: dict[str, dict[str, Any]] = {
    "OpaqueRef:c0edb08e-8bc9-0ab9-4de8-015c98dae2a2": {
        "name_label": "life-0",
        "name_description": "desc",
        "other_config": {"dk": "dv"},
        "tags": ["dt"],
    },
    "OpaqueRef:c9cbd3f3-a170-bb94-994a-cc2bf3c5271f": {"name_label": "life-1"},
    "OpaqueRef:b68f8dcb-1bca-0aee-21a7-1c38faf7583e": {"name_label": "hot"},
}
FIGURES = "the recording's back end does not run VMs: its figures and states are its own"
RAW_FILES = "the recording's disks are raw files, which take no space of their own when they are made"
INTERNAL = "a call of xapi's own, which is closed here"


async def _prepare(stage: Stage) -> None:
    await introduce_pool(stage)
    stage.names["OpaqueRef:9cc23662-258a-ef78-210d-44b16896f206"] = stage.simulation.pool.db.rows("network")[
        0
    ].ref


async def _make_disks(stage: Stage) -> None:
    pool = stage.simulation.pool
    common: dict[str, Any] = {"SR": pool.db.only("pool")["default_SR"], "virtual_size": str(8 * MIB)}
    common |= {"type": "user", "sharable": False, "read_only": False, "other_config": {}}
    for recorded, values in DISKS.items():
        stage.names[recorded] = await stage.call("VDI.create", common | values)


async def _make_second_vm(stage: Stage) -> None:
    record = await stage.call("VM.get_record", stage.names[VM])
    fields = {name: value for name, value in record.items() if name not in ("uuid", "other_config")}
    stage.names["OpaqueRef:bcd79959-1ca4-56e6-87e3-648c6ca7a023"] = await stage.call(
        "VM.create", fields | {"other_config": {}}
    )


async def _make_ready(stage: Stage) -> None:
    """One VBD for each disk, changed blocks tracked, no tools in the guest."""
    vm = await stage.call("VM.get_record", stage.names[VM])
    disks: set[str] = set()
    for vbd in sorted(vm["VBDs"], key=lambda ref: int(_record(stage, ref)["userdevice"])):
        disk = _record(stage, vbd)["VDI"]
        if disk in disks and disk != NULL_REF:
            await stage.call("VBD.destroy", vbd)
        disks.add(disk)
    await stage.call("VDI.enable_cbt", stage.names[next(iter(DISKS))])
    stage.simulation.pool.guests[vm["uuid"]] = Guest(tools=False, os_name="")


def _record(stage: Stage, vbd: str) -> Row:
    return stage.simulation.pool.db.row("VBD", vbd)


async def _dress(stage: Stage) -> None:
    """What a snapshot must keep, and what not."""
    vm = stage.names[VM]
    for field, value in (
        ("name_description", "desc a"),
        ("tags", ["tg"]),
        ("xenstore_data", {"vm-data/a": "b"}),
        ("order", "3"),
        ("start_delay", "4"),
        ("blocked_operations", {"pool_migrate": "w"}),
    ):
        await stage.call(f"VM.set_{field}", vm, value)
    await stage.call("VM.add_to_platform", vm, "x", "y")


async def _start(stage: Stage) -> None:
    if await stage.call("VM.get_power_state", stage.names[VM]) == "Halted":
        await stage.call("VM.start", stage.names[VM], False, False)


VMS = Story(
    "g_vm_life",
    _prepare,
    before={89: _make_disks, 114: _make_second_vm, 140: _make_ready, 200: _dress, 283: _start},
    otherwise={
        **dict.fromkeys((141, 149, 161, 162, 165), FIGURES),
        **dict.fromkeys((89, 113, 144), RAW_FILES),
        172: INTERNAL,
    },
    pool={"vms": []},
)
