"""Disks, XVAs and metadata over HTTP. Contents come from stand-ins; the heads of the answers do not."""

from __future__ import annotations

import base64
import os
import re

from services.simulator.pool.description import DiskDescription, VmDescription
from tests.contract.simulator.stage import Action, Stage, Story
from tests.contract.simulator.story_rpc import introduce_pool
from tests.integration.simulator.pools import MIB, PASSWORD

_DISK = re.compile(r"(?:vdi|base)=((?:OpaqueRef(?::|%3A))?[0-9a-f]{8}-[0-9a-f-]{27})")
_OTHERS = {
    "i_http_xva": {
        "OpaqueRef:1492d946-f48c-8e1e-968d-a953069c386b": "VM",
        "OpaqueRef:e90369f3-033a-3320-e4b7-54d022370389": "VM",
        "OpaqueRef:f69ad256-0428-8c49-eb9c-266e78926f6d": "VDI",
        "OpaqueRef:b2e3f8ee-6acb-36a5-2889-d094c493d33e": "snapshot",
        "46d9fe58-886e-8477-73ff-747ccde3dcc1": "SR",
    },
    "i_http_metadata": {"OpaqueRef:aa32db85-88e2-6686-6594-8137827062a2": "VM"},
    "i_http_disk": {},
}
"""What unexplained identities are."""


def _prepare(name: str) -> Action:
    async def prepare(stage: Stage) -> None:
        await introduce_pool(stage)
        pool = stage.simulation.pool
        vm, disk = stage.one("VM", "moved"), stage.one("VDI", "moved disk 0")
        kinds = {
            "VM": vm,
            "VDI": disk,
            "SR": pool.db.row("SR", pool.db.only("pool")["default_SR"])["uuid"],
            "snapshot": await stage.call("VM.snapshot", vm, "kept"),
        }
        for recorded, kind in _OTHERS[name].items():
            stage.names[recorded] = kinds[kind]
        recorded_user = base64.b64encode(b"root:xenroot").decode()
        stage.names[recorded_user] = base64.b64encode(f"root:{PASSWORD}".encode()).decode()
        await _make_disks(stage)

    return prepare


async def _make_disks(stage: Stage) -> None:
    """One of 4 MiB for every disk that a request names and no answer does."""
    pool = stage.simulation.pool
    sr = pool.db.only("pool")["default_SR"]
    record = {"SR": sr, "virtual_size": str(4 * MIB), "type": "user", "sharable": False, "read_only": False}
    for path in stage.paths.values():
        for recorded in (match.replace("%3A", ":") for match in _DISK.findall(path)):
            if recorded in stage.names or recorded.startswith("0000"):
                continue
            ref = await stage.call("VDI.create", record | {"other_config": {}})
            uuid = pool.db.row("VDI", ref)["uuid"]
            pool.repositories[sr].disk(uuid).write(0, os.urandom(4 * MIB))
            stage.names[recorded] = ref if recorded.startswith("OpaqueRef") else uuid


A_VM = {"vms": [VmDescription(name="moved", disks=[DiskDescription(size_bytes=4 * MIB)])]}


async def _start(stage: Stage) -> None:
    await stage.call("VM.start", stage.one("VM", "moved"), False, False)


ANOTHER_VM = "the recorder's VM had been through more"
DISKS = Story("i_http_disk", _prepare("i_http_disk"), pool=A_VM)
XVA = Story(
    "i_http_xva",
    _prepare("i_http_xva"),
    before={42: _start},
    otherwise={0: ANOTHER_VM},
    pool=A_VM,
)
METADATA = Story("i_http_metadata", _prepare("i_http_metadata"), pool=A_VM)
