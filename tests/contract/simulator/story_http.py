"""What NBD connections show in the API, and HTTP beside exports and imports."""

from __future__ import annotations

import base64

from services.simulator.nbd.ports import Export
from services.simulator.pool.description import DiskDescription, VmDescription
from services.simulator.pool.nbd_door import NbdDoor
from tests.contract.simulator.stage import Stage, Story
from tests.contract.simulator.story_rpc import introduce_pool
from tests.integration.simulator.pools import MIB, PASSWORD

DISK = "OpaqueRef:39143255-4c00-b23f-4e29-15b48ff14f2c"
SERVER_VBD = "OpaqueRef:5e3ac039-5f20-5378-afeb-cc78fb7d59ec"
VM = "OpaqueRef:1c0f32f1-0a68-6c2e-7036-048db02dc750"
LIMIT = 16


async def _prepare_nbd(stage: Stage) -> None:
    """A snapshot of a tracked disk."""
    disk = stage.one("VDI", "nbd disk 0")
    await stage.call("VDI.enable_cbt", disk)
    await stage.call("VDI.set_name_label", disk, "nbd-disk")
    stage.names[DISK] = await stage.call("VDI.snapshot", disk, {})
    pool = stage.simulation.pool
    stage.things["door"] = NbdDoor(pool, pool.coordinator)
    pool.tasks.create("client task", "left pending", pool.coordinator.ref)


async def _open(stage: Stage) -> Export:
    (info, *_) = await stage.call("VDI.get_nbd_info", stage.names[DISK])
    export = await stage.things["door"].open_export(info["exportname"])
    stage.things.setdefault("exports", []).append(export)
    assert isinstance(export, Export)
    return export


async def _connect(stage: Stage) -> None:
    await _open(stage)


async def _disconnect(stage: Stage) -> None:
    for export in stage.things.pop("exports", []):
        await stage.things["door"].close_export(export)


async def _connect_by_name(stage: Stage) -> None:
    stage.names[SERVER_VBD] = str((await _open(stage)).token)


async def _connect_many(stage: Stage) -> None:
    stage.things.pop("exports")
    for _ in range(LIMIT):
        await _open(stage)


async def _make_insecure(stage: Stage) -> None:
    await _disconnect(stage)
    network = stage.simulation.pool.db.rows("network")[0].ref
    await stage.call("network.remove_purpose", network, "nbd")
    await stage.call("network.add_purpose", network, "insecure_nbd")


MACHINE = "the control domain of another machine"
RAW_FILES = "the recording's disks are raw files, without parents"
NBD = Story(
    "n_nbd_api",
    _prepare_nbd,
    before={
        2: _connect,
        10: _disconnect,
        11: _connect_by_name,
        14: _connect_many,
        15: _make_insecure,
    },
    otherwise={4: MACHINE, 5: RAW_FILES},
    pool={"vms": [VmDescription(name="nbd", disks=[DiskDescription(size_bytes=4 * MIB)])]},
)

NO_SCRIPTS = "the scripts of the recorded host are stand-ins"
NOT_ASKED = "the recording does not have the whole request before it"
NO_RRD = "the recorded host had nobody who keeps figures"
NO_LOGS = "logs and reports of hosts are not simulated"
NO_BLOBS = "blobs, updates and patches are not simulated"
NO_CLI = "the protocol of the xe CLI is not simulated"


async def _prepare_http(stage: Stage) -> None:
    await introduce_pool(stage)
    stage.names[VM] = stage.one("VM", "http")
    recorded = base64.b64encode(b"root:xenroot").decode()
    stage.names[recorded] = base64.b64encode(f"root:{PASSWORD}".encode()).decode()


OTHER_HTTP = Story(
    "i_http_other",
    _prepare_http,
    otherwise={
        **dict.fromkeys((12, 16), NOT_ASKED),
        **dict.fromkeys((17, 18, 59), NO_SCRIPTS),
        **dict.fromkeys((31, 32, 33, 63), NO_RRD),
        **dict.fromkeys((30, 35, 47), NO_LOGS),
        **dict.fromkeys((29, 36, 43, 60, 61, 62, 71), NO_BLOBS),
        70: NO_CLI,
    },
    pool={"vms": [VmDescription(name="http", disks=[DiskDescription(size_bytes=4 * MIB)])]},
)
