"""Changed-block tracking: what xapi checks itself, and the network purposes of NBD.

The recording's storage driver is a stand-in that compares contents and keeps no logs; what it says of changed
blocks is its own.
"""

from __future__ import annotations

from typing import Any

from services.simulator.pool.description import DiskDescription, VmDescription
from services.simulator.storage.ports import BLOCK
from tests.contract.simulator.stage import Action, Stage, Story
from tests.contract.simulator.story_rpc import introduce_pool
from tests.integration.simulator.pools import MIB

VM = "OpaqueRef:b2eca730-f96f-ec78-3073-d5f22055a1c9"
DISK = "OpaqueRef:0ae33a5a-a2d3-9d82-435f-6f84f71fa173"
NETWORK = "OpaqueRef:9cc23662-258a-ef78-210d-44b16896f206"
SECOND_NETWORK = "OpaqueRef:2ba92631-0986-ec6c-d3ee-3e8378d1f662"
PBD = "OpaqueRef:34259068-dc18-bd89-c07f-a7c80bc237cb"
TYPED = {
    "system": "OpaqueRef:c094d3bf-8d1e-fa7a-0344-acda0c92c787",
    "user": "OpaqueRef:7b2011d8-77c3-a941-0155-068f828de611",
    "ephemeral": "OpaqueRef:d84cc8fb-3c28-77ff-ced5-7c7c8873243e",
    "suspend": "OpaqueRef:143fe2bb-06b4-6923-025f-06915ccd2e60",
    "crashdump": "OpaqueRef:2864703e-a832-75d6-7029-4fb86fe17bde",
    "metadata": "OpaqueRef:254c56dd-6ba6-d293-d4f4-391689689e5e",
    "ha_statefile": "OpaqueRef:94ccf699-1fba-2f2d-f642-5ef905c57c14",
    "redo_log": "OpaqueRef:3544cc70-971d-817c-dda0-f1f5c1071472",
    "rrd": "OpaqueRef:fa0930f9-5fce-d682-76b9-0f3fc2e0997d",
    "pvs_cache": "OpaqueRef:bdcd69ac-7672-12b7-9fe7-e9679da7be94",
}
READ_ONLY = "OpaqueRef:6f53c338-3d85-a225-60f0-2a26f0936173"
SHARABLE = "OpaqueRef:c0767fde-28fc-b6ad-6762-e2719480d16b"
RESETTING = "OpaqueRef:bb557b7a-9140-0fa2-6682-e041ec1c2047"
ODD_VM = "OpaqueRef:e99a6d11-fc98-f8c6-16ce-c1425717acad"
ODD_DISK = "OpaqueRef:06848b98-4f44-6eff-26b2-4dea3c21ef8d"
CLONED = "OpaqueRef:8c6f2008-4638-d709-ddc3-10b905778ea0"
REVERTED = "OpaqueRef:3ca7ca1b-f875-196a-5d50-f3490b1f5711"
SNAPSHOTS = {
    2: "OpaqueRef:f6cf6e21-5240-0cdf-da3a-348dd603c9a5",
    24: "OpaqueRef:51df17ab-5628-dd09-f63b-f36c5acff1e1",
    27: "OpaqueRef:4abc8693-99e5-2437-0aee-f65b6b12d0f5",
    28: "OpaqueRef:cd194f5b-4c8d-8429-dc91-4b7ab16e0d86",
    29: "OpaqueRef:9232ea7f-8521-97d5-8507-826f59be78c4",
    46: "OpaqueRef:89b9f89a-f8dd-174c-41b8-7fdcdb8d3a87",
    49: "OpaqueRef:b890564b-519b-ea98-031d-9c583baccc24",
}
"""Disks of snapshots, by the exchange before which each was taken."""
UNRELATED = "OpaqueRef:1321d59e-3bf7-bbcd-a5ab-c14ec4904ba9"


NO_LOGS = "the recording's driver compares contents and keeps no logs"
ROUNDING = "the recording's driver rounds sizes to 1 MiB"
CLOSED = "a call of xapi's own, which is closed here"
ITS_NETWORK = "the recorded network has a name of its own"
STAYED = "the recorded storage stayed attached"


async def _prepare(stage: Stage) -> None:
    await introduce_pool(stage)
    db = stage.simulation.pool.db
    vm = stage.one("VM", "tracked")
    disk = stage.one("VDI", "tracked disk 0")
    pbd = db.row("SR", db.row("VDI", disk)["SR"])["PBDs"][0]
    stage.names.update({VM: vm, DISK: disk, NETWORK: db.rows("network")[0].ref, PBD: pbd})
    about = {"name_label": "second", "name_description": "", "other_config": {}}
    stage.names[SECOND_NETWORK] = await stage.call("network.create", about)
    for type_, recorded in TYPED.items():
        stage.names[recorded] = await _disk(stage, type=type_)
    stage.names[READ_ONLY] = await _disk(stage, read_only=True)
    stage.names[SHARABLE] = await _disk(stage, sharable=True)
    stage.names[RESETTING] = await _disk(stage)
    stage.names[UNRELATED] = await _disk(stage)
    stage.names.update({ODD_VM: stage.one("VM", "odd"), ODD_DISK: stage.one("VDI", "odd disk 0")})


async def _disk(stage: Stage, **values: Any) -> str:
    sr = stage.simulation.pool.db.only("pool")["default_SR"]
    record: dict[str, Any] = {"SR": sr, "name_label": "cbt", "virtual_size": str(8 * MIB), "type": "user"}
    record |= {"sharable": False, "read_only": False, "other_config": {}}
    return str(await stage.call("VDI.create", record | values))


def _newest_disk(recorded: str) -> Action:
    """The disk of the VM that was made last."""

    async def name(stage: Stage) -> None:
        vm = max(stage.simulation.pool.db.rows("VM"), key=lambda row: row.created)
        stage.names[recorded] = _disk_of(stage, vm.ref)

    return name


def _write(*blocks: int, named: str = "") -> Action:
    """Written to the disk since the last snapshot; before that its disk may get its name."""

    async def write(stage: Stage) -> None:
        if named:
            await _newest_disk(named)(stage)
        pool = stage.simulation.pool
        vdi = pool.db.row("VDI", stage.names[DISK])
        for block in blocks:
            pool.repositories[vdi["SR"]].disk(vdi["uuid"]).write(block * BLOCK, b"x" * 512)

    return write


async def _name_reverted(stage: Stage) -> None:
    stage.names[REVERTED] = _disk_of(stage, stage.names[VM])


def _disk_of(stage: Stage, vm: str) -> str:
    db = stage.simulation.pool.db
    vbds = [db.row("VBD", vbd) for vbd in db.row("VM", vm)["VBDs"]]
    return next(str(vbd["VDI"]) for vbd in vbds if vbd["type"] == "Disk")


TRACKING = Story(
    "h_cbt",
    _prepare,
    before={
        **{number: _newest_disk(recorded) for number, recorded in SNAPSHOTS.items()},
        26: _write(5, 64),
        27: _write(127, named=SNAPSHOTS[27]),
        110: _newest_disk(CLONED),
        112: _name_reverted,
    },
    otherwise={
        **dict.fromkeys((34, 35, 36, 37, 38, 42, 46, 52, 74, 101, 115), NO_LOGS),
        49: ROUNDING,
        87: CLOSED,
        129: ITS_NETWORK,
        **dict.fromkeys((*range(133, 142), 143), STAYED),
    },
    pool={
        "vms": [
            VmDescription(name="tracked", disks=[DiskDescription(size_bytes=8 * MIB)]),
            VmDescription(name="odd", disks=[DiskDescription(size_bytes=3 * MIB)]),
        ]
    },
)
