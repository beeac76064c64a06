"""What an administrator sees in the pool, by a client of his own."""

from typing import Any

from tests.support.hypervisor import Lab

Records = dict[str, dict[str, Any]]


async def snapshots(lab: Lab) -> Records:
    """VMs that are snapshots."""
    vms: Records = await lab.session_call("VM.get_all_records_where", 'field "is_a_snapshot"="true"')
    return vms


async def disks(lab: Lab) -> Records:
    """VDIs that a person may see: no hidden parents."""
    vdis = await lab.session_call("VDI.get_all_records")
    return {ref: vdi for ref, vdi in vdis.items() if vdi["managed"]}


async def tracking_data(lab: Lab) -> Records:
    """VDIs without data, kept for the next incremental."""
    return {ref: vdi for ref, vdi in (await disks(lab)).items() if vdi["type"] == "cbt_metadata"}


async def gone(lab: Lab, kind: str, ref: str, host: int = 0) -> None:
    """Returns when the object is gone, as ``host`` says, which leads the pool."""
    while True:
        records = await lab.session_call(f"{kind}.get_all_records", host=host)
        if ref not in records:
            return
        await lab.session_call("event.from", [f"{kind}/{ref}"], "", 0.0, host=host)
        token = (await lab.session_call("event.from", [f"{kind}/{ref}"], "", 0.0, host=host))["token"]
        await lab.session_call("event.from", [f"{kind}/{ref}"], token, 5.0, host=host)
