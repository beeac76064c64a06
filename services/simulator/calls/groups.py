"""VMs that belong together: groups and snapshot schedules (xapi: xapi_vm_group.ml, xapi_vmss.ml)."""

from typing import Any

from services.simulator.calls import vdi, vm_snapshot
from services.simulator.calls.vm import destroy_record
from services.simulator.dispatch.call import Call
from services.simulator.failure import XapiFailure
from services.simulator.pool import attachments, vm_groups


async def set_groups(call: Call, vm: str, groups: list[str]) -> None:
    """At most one. Raises ``OPERATION_NOT_ALLOWED``."""
    db = call.db
    if len(groups) > 1:
        raise XapiFailure("OPERATION_NOT_ALLOWED", "a VM is in one group at most")
    for ref in groups:
        db.row("VM_group", ref)
    vm_groups.put_into(db, db.row("VM", vm), groups)


async def group_create(call: Call, record: dict[str, Any]) -> str:
    return call.pool.create("VM_group", **record)


async def group_destroy(call: Call, ref: str) -> None:
    for vm in list(call.db.row("VM_group", ref)["VMs"]):
        if call.db.find("VM", vm) is not None:
            call.db.set("VM", vm, "groups", [])
    call.db.delete("VM_group", ref)


async def schedule_create(call: Call, record: dict[str, Any]) -> str:
    """Raises ``INVALID_VALUE`` for a number of snapshots out of 1 to 10."""
    if not 1 <= record.get("retained_snapshots", 7) <= 10:
        raise XapiFailure("INVALID_VALUE", "retained_snapshots", str(record["retained_snapshots"]))
    return call.pool.create("VMSS", **record)


async def schedule_destroy(call: Call, ref: str) -> None:
    """Raises ``VMSS_HAS_VM``."""
    if call.db.row("VMSS", ref)["VMs"]:
        raise XapiFailure("VMSS_HAS_VM")
    call.db.delete("VMSS", ref)


async def snapshot_now(call: Call, ref: str) -> str:
    """One snapshot of every VM; those beyond the number to retain go, the oldest first."""
    schedule = call.db.row("VMSS", ref)
    take = vm_snapshot.checkpoint if schedule["type"] == "checkpoint" else vm_snapshot.snapshot
    for vm in list(schedule["VMs"]):
        name = f"[{schedule['name_label']}] {call.db.row('VM', vm)['name_label']}"
        made = await take(call, vm, name)
        call.db.set("VM", made, "is_vmss_snapshot", True)
        await _retain(call, vm, schedule["retained_snapshots"])
    call.db.set("VMSS", ref, "last_run_time", call.pool.now())
    return ""


async def _retain(call: Call, vm: str, count: int) -> None:
    rows = [call.db.row("VM", ref) for ref in call.db.row("VM", vm)["snapshots"]]
    scheduled = sorted(
        (row for row in rows if row["is_vmss_snapshot"]), key=lambda row: row.created, reverse=True
    )
    for row in scheduled[count:]:
        disks = [disk.ref for vbd, disk in attachments.disks_in_use(call.pool, row) if vbd["type"] != "CD"]
        image = row["suspend_VDI"]
        destroy_record(call, row.ref)
        for disk in [*disks, *([image] if call.db.find("VDI", image) else [])]:
            await vdi.destroy(call, disk)


async def destroy_messages(call: Call, refs: list[str]) -> None:
    for ref in refs:
        call.db.delete("message", ref)


async def destroy_all_messages(call: Call, filters: dict[str, str]) -> None:
    """Those whose fields are as ``filters`` say, all without any. Raises ``INVALID_VALUE``."""
    for field in filters:
        if field not in call.db.model.classes["message"].fields:
            raise XapiFailure("INVALID_VALUE", "filters", field)
    for row in call.db.rows("message"):
        if all(str(row[field]) == value for field, value in filters.items()):
            call.db.delete("message", row.ref)
