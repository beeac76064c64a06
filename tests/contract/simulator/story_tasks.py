"""Tasks: of clients, of every kind of call, and seen while they run."""

from __future__ import annotations

from services.simulator.pool.description import DiskDescription, VmDescription
from tests.contract.simulator.stage import Stage, Story, nothing_runs
from tests.contract.simulator.story_rpc import introduce_pool
from tests.integration.simulator.pools import MIB

VM = "OpaqueRef:12426ab5-ed8e-12b2-92ea-f51508bdb7f3"
LOOSE_DISK = "OpaqueRef:b1321f3a-668a-00d6-6bdb-81b194a5ffc8"
DISK = "OpaqueRef:86a3a8be-b3b3-f719-81ac-5005d7a1a903"
MEMORY = "another host has other memory"


async def _prepare(stage: Stage) -> None:
    await introduce_pool(stage)
    pool = stage.simulation.pool
    sr = pool.db.only("pool")["default_SR"]
    stage.names[VM] = stage.one("VM", "tasks")
    stage.names[DISK] = stage.one("VDI", "tasks disk 0")
    record = {"SR": sr, "virtual_size": 4 * MIB, "type": "user", "sharable": False, "read_only": False}
    stage.names[LOOSE_DISK] = await stage.call(
        "VDI.create", record | {"name_label": "loose", "virtual_size": str(4 * MIB), "other_config": {}}
    )


TASKS = Story(
    "f_tasks",
    _prepare,
    before={60: nothing_runs},
    otherwise={85: MEMORY},
    pool={"vms": [VmDescription(name="tasks", disks=[DiskDescription(size_bytes=4 * MIB)])]},
)
