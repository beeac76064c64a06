"""Every class with its records, and the getters that tell of a host; of records only their fields."""

from __future__ import annotations

from services.simulator.pool.description import DiskDescription, VmDescription
from tests.contract.simulator.stage import Stage, Story
from tests.contract.simulator.story_rpc import introduce_pool
from tests.integration.simulator.pools import MIB


async def _prepare(stage: Stage) -> None:
    """Something of every class that the recorded pool had something of."""
    await introduce_pool(stage)
    pool = stage.simulation.pool
    await stage.call("VM_appliance.create", {"name_label": "app", "name_description": ""})
    await stage.call("VM.snapshot", stage.one("VM", "records"), "snap")
    pool.create("secret", value="s3cret")
    pool.tasks.create("client task", "left pending", pool.coordinator.ref)


OF_ITS_POOL = "an object of the recorded pool"
NO_METRICS = "the recorded host had nobody to ask for figures"
NO_CPU = "the recorded host is too old for its own VM"
THE_HOST = "versions, licences, drivers and certificates are the recorded host's own"
RECORDS = Story(
    "d_records",
    _prepare,
    otherwise={
        **dict.fromkeys(
            (66, 69, 71, 72, 74, 76, 78, 81, 82, 83, 85, 86, 89, 90, 91, 96, 97, 115), OF_ITS_POOL
        ),
        **dict.fromkeys((100, 116), NO_METRICS),
        102: NO_CPU,
        **dict.fromkeys((98, 105, 109, 110), THE_HOST),
    },
    pool={"vms": [VmDescription(name="records", host="host-1", disks=[DiskDescription(size_bytes=4 * MIB)])]},
)
