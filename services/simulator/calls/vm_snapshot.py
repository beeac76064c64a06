"""VM.snapshot, VM.checkpoint and VM.revert (xapi: ocaml/xapi/xapi_vm_snapshot.ml)."""

from collections.abc import Sequence
from typing import Any

from services.simulator.calls import vdi, vdi_copies, vdi_revert
from services.simulator.calls.vm_copies import copied_image, copy_devices, copy_disks, copy_record
from services.simulator.calls.vm_power import stop_domain
from services.simulator.calls.vm_suspend import resume_domain, suspend_domain
from services.simulator.database.row import Row
from services.simulator.database.stored import dump_fields, load_fields
from services.simulator.dispatch.call import Call
from services.simulator.failure import XapiFailure
from services.simulator.model.defaults import NULL_REF
from services.simulator.pool import allowed_operations, attachments, domains
from services.simulator.pool.mishaps import HalfMade
from services.simulator.pool.operations import vm_operation

_SURVIVE_A_REVERT = frozenset(
    {
        "uuid",
        "tags",
        "affinity",
        "snapshots",
        "children",
        "blocked_operations",
        "order",
        "start_delay",
        "shutdown_delay",
        "allowed_operations",
        "current_operations",
        "VBDs",
        "VIFs",
        "VTPMs",
        "VUSBs",
        "VGPUs",
        "consoles",
        "crash_dumps",
        "is_a_snapshot",
        "snapshot_of",
        "snapshot_time",
        "snapshot_info",
        "snapshot_metadata",
        "parent",
        "metrics",
        "guest_metrics",
        "power_state",
        "resident_on",
        "domid",
        "generation_id",
        "suspend_VDI",
    }
)


async def snapshot(call: Call, vm_ref: str, new_name: str, ignored: Sequence[str] = ()) -> str:
    """Disk by disk, in any power state: crash-consistent for each disk, not across them."""
    async with vm_operation(call, vm_ref, "snapshot"):
        return await _take(call, call.db.row("VM", vm_ref), new_name, frozenset(ignored), {})


async def snapshot_with_quiesce(call: Call, vm_ref: str, new_name: str) -> str:
    """The guest writes out what it holds and stands still for the moment of it; up to release 8.0.

    Raises ``LICENCE_RESTRICTION``, ``VM_SNAPSHOT_WITH_QUIESCE_NOT_SUPPORTED``, ``..._FAILED``.
    """
    if call.db.only("pool")["restrictions"].get("restrict_vss") == "true":
        raise XapiFailure("LICENCE_RESTRICTION", "VSS")
    async with vm_operation(call, vm_ref, "snapshot_with_quiesce"):
        vm = call.db.row("VM", vm_ref)
        await domains.hold_guest(call.pool, vm)
        try:
            return await _take(call, vm, new_name, frozenset(), {}, kind="quiesced")
        except HalfMade as failure:
            raise XapiFailure("VM_SNAPSHOT_WITH_QUIESCE_FAILED", vm_ref) from failure
        finally:
            await domains.let_guest_go_on(call.pool, vm)


async def checkpoint(call: Call, vm_ref: str, new_name: str) -> str:
    """A snapshot with memory: a running VM sleeps for the moment of it; of a paused one, without memory.

    Source: xapi, ocaml/xapi/xapi_vm_snapshot.ml ``checkpoint``, xapi_vm_clone.ml ``clone``.
    """
    if call.db.only("pool")["restrictions"].get("restrict_checkpoint") == "true":
        raise XapiFailure("LICENCE_RESTRICTION", "Checkpoint")
    async with vm_operation(call, vm_ref, "checkpoint"):
        vm = call.db.row("VM", vm_ref)
        was, host = vm["power_state"], vm["resident_on"]
        if was == "Paused":
            return await _take(call, vm, new_name, frozenset(), {})
        if was == "Running":
            await suspend_domain(call, vm_ref, for_a_moment=True)
        try:
            memory = await vdi_copies.snapshot(call, vm["suspend_VDI"], {})
            image = {"power_state": "Suspended", "suspend_VDI": memory}
            return await _take(call, vm, new_name, frozenset(), image, power_state=was)
        finally:
            if was == "Running":
                await resume_domain(call, vm_ref, host, was)


async def _take(
    call: Call,
    vm: Row,
    new_name: str,
    ignored: frozenset[str],
    image: dict[str, Any],
    power_state: str = "",
    kind: str = "crash_consistent",
) -> str:
    mishaps = call.pool.mishaps
    disks = await copy_disks(
        call,
        vm,
        "snapshot",
        lambda part, vdi: vdi_copies.snapshot(part, vdi, {}),
        ignored,
        lambda made, wanted: mishaps.check_snapshot(vm["uuid"], made, wanted),
    )
    ref = copy_record(
        call,
        vm,
        name_label=new_name,
        is_a_template=True,
        is_a_snapshot=True,
        snapshot_of=vm.ref,
        snapshot_time=call.pool.now(),
        snapshot_info={
            "disk-snapshot-type": kind,
            "power-state-at-snapshot": power_state or vm["power_state"],
        },
        snapshot_metadata=dump_fields(dict(vm)),
        parent=vm["parent"],
        **image,
    )
    call.db.set("VM", vm.ref, "parent", ref)
    copy_devices(call, vm, ref, disks, keep_macs=True)
    body = f"VM '{vm['name_label']}' (uuid: {vm['uuid']}) snapshotted, snapshot name: {new_name}"
    call.pool.messages.create("VM_SNAPSHOTTED", "VM", vm["uuid"], body)
    return ref


async def revert(call: Call, snapshot_ref: str) -> None:
    """The VM as it was: its disks are replaced by clones of the snapshot's, or go back themselves where
    storage can do that; a VM that is gone is made again.

    To a checkpoint: it is suspended then, on a clone of the memory image.

    Raises ``VM_REVERT_FAILED`` for anything but a snapshot.
    """
    db = call.db
    source = db.row("VM", snapshot_ref)
    if not source["is_a_snapshot"]:
        raise XapiFailure("VM_REVERT_FAILED", snapshot_ref, NULL_REF)
    async with vm_operation(call, snapshot_ref, "revert"):
        fields = load_fields(call.pool.model.classes["VM"], source["snapshot_metadata"])
        vm_ref = await _revived(call, source, fields)
        await _replace_devices(call, source, vm_ref)
        kept = {name: value for name, value in fields.items() if name not in _SURVIVE_A_REVERT}
        kept["ha_always_run"] = False
        db.update("VM", vm_ref, **kept, parent=snapshot_ref, generation_id=domains.generation_id(call.pool))
        db.update("VM", vm_ref, **await copied_image(call, source, "clone", _clone))
        allowed_operations.refresh_vm(db, vm_ref)
    vm = db.row("VM", vm_ref)
    body = f"VM '{vm['name_label']}' (uuid: {vm['uuid']}) reverted to snapshot: {source['name_label']}"
    body += f" (uuid {source['uuid']})"
    call.pool.messages.create("VM_SNAPSHOT_REVERTED", "VM", vm["uuid"], body)


async def _clone(part: Call, vdi: str) -> str:
    return await vdi_copies.clone(part, vdi, {})


async def _revived(call: Call, source: Row, fields: dict[str, Any]) -> str:
    """The snapshot's VM, halted; made again with its old uuid when it was destroyed."""
    db = call.db
    vm = db.find("VM", source["snapshot_of"])
    if vm is not None:
        if vm["power_state"] != "Halted":
            await stop_domain(call, vm.ref)
        return vm.ref
    values = {"uuid": fields["uuid"], "name_label": fields["name_label"], "is_a_template": False}
    ref = copy_record(call, source, **values)
    for other in db.rows("VM"):
        if other["is_a_snapshot"] and other["snapshot_of"] == source["snapshot_of"]:
            db.set("VM", other.ref, "snapshot_of", ref)
    return ref


async def _replace_devices(call: Call, source: Row, vm_ref: str) -> None:
    """Clone the snapshot's disks first: when that fails, the VM still has its own."""
    db = call.db
    own = [(vbd, disk) for vbd, disk in attachments.disks_in_use(call.pool, source) if vbd["type"] != "CD"]
    going_back = {vbd.ref: disk for vbd, disk in own if vdi_revert.can_revert(db, disk)}
    disks = await copy_disks(
        call, source, "clone", _clone, frozenset(disk.ref for disk in going_back.values())
    )
    for vbd_ref, disk in going_back.items():
        await vdi_revert.revert(call, disk.ref)
        disks[vbd_ref] = disk["snapshot_of"]
    vm = db.row("VM", vm_ref)
    old_disks = {disk.ref for vbd, disk in attachments.disks_in_use(call.pool, vm) if vbd["type"] != "CD"}
    for cls in ("VBD", "VIF", "VGPU", "VUSB", "VTPM"):
        for ref in list(vm.get(f"{cls}s", [])):
            db.delete(cls, ref)
            call.pool.tpm_contents.pop(ref, None)
    for vbd_ref, clone in disks.items():
        original = db.row("VDI", db.row("VBD", vbd_ref)["VDI"])["snapshot_of"]
        if original == clone:
            continue
        _point_snapshots_at(call, original, clone)
        if original in old_disks:
            await vdi.destroy(call, original)
    copy_devices(call, source, vm_ref, disks, keep_macs=True)
    for field in ("metrics", "guest_metrics"):
        _take_over(call, source, vm_ref, field)


def _point_snapshots_at(call: Call, original: str, clone: str) -> None:
    """Every snapshot of the disk that is replaced is now a snapshot of its replacement."""
    for disk in call.db.rows("VDI"):
        if disk["is_a_snapshot"] and disk["snapshot_of"] == original and original != NULL_REF:
            call.db.set("VDI", disk.ref, "snapshot_of", clone)


def _take_over(call: Call, source: Row, vm_ref: str, field: str) -> None:
    cls = "VM_metrics" if field == "metrics" else "VM_guest_metrics"
    row = call.db.find(cls, source[field])
    if row is not None:
        old = call.db.row("VM", vm_ref)[field]
        values = {name: value for name, value in row.items() if name != "uuid"}
        call.db.set("VM", vm_ref, field, call.pool.create(cls, **values))
        if old != row.ref and call.db.find(cls, old) is not None:
            call.db.delete(cls, old)
