"""A VM's record and devices made from another's, field by field (xapi: ocaml/xapi/xapi_vm_clone.ml)."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from services.simulator.calls import vdi as vdi_calls
from services.simulator.database.row import Row
from services.simulator.dispatch.call import Call
from services.simulator.failure import XapiFailure
from services.simulator.model.defaults import NULL_REF
from services.simulator.pool import allowed_operations, attachments, domains, gpus
from services.simulator.pool.mishaps import HalfMade
from services.simulator.wire.datetimes import EPOCH

DiskCopier = Callable[[Call, str], Awaitable[str]]
"""Makes a disk from the disk of that reference, as a part of the call."""
DiskCheck = Callable[[int, int], None]
_NEVER_COPIED = frozenset(
    {"uuid", "VBDs", "VIFs", "VTPMs", "VUSBs", "VGPUs", "consoles", "crash_dumps", "snapshots"}
)
_OF_A_FRESH_VM: dict[str, Any] = {
    "allowed_operations": [],
    "current_operations": {},
    "power_state": "Halted",
    "resident_on": NULL_REF,
    "scheduled_to_be_resident_on": NULL_REF,
    "domid": -1,
    "blocked_operations": {},
    "children": [],
    "start_delay": 0,
    "shutdown_delay": 0,
    "order": 0,
    "appliance": NULL_REF,
    "protection_policy": NULL_REF,
    "snapshot_schedule": NULL_REF,
    "is_vmss_snapshot": False,
    "groups": [],
    "blobs": {},
    "ha_always_run": False,
    "is_default_template": False,
    "is_control_domain": False,
    "suspend_VDI": NULL_REF,
    "requires_reboot": False,
}
_NOT_A_SNAPSHOT: dict[str, Any] = {
    "is_a_snapshot": False,
    "snapshot_of": NULL_REF,
    "snapshot_time": EPOCH,
    "snapshot_info": {},
    "snapshot_metadata": "",
    "parent": NULL_REF,
}
_VBD_FIELDS = (
    "device",
    "userdevice",
    "bootable",
    "mode",
    "type",
    "unpluggable",
    "empty",
    "other_config",
    "qos_algorithm_type",
    "qos_algorithm_params",
)
_VIF_FIELDS = (
    "device",
    "network",
    "MTU",
    "other_config",
    "qos_algorithm_type",
    "qos_algorithm_params",
    "locking_mode",
    "ipv4_allowed",
    "ipv6_allowed",
)


async def copy_disks(
    call: Call,
    vm: Row,
    name: str,
    copier: DiskCopier,
    ignored: frozenset[str],
    check: DiskCheck = lambda made, wanted: None,
) -> dict[str, str]:
    """A new VDI for every VBD with a disk that is not ignored; empty drives and CDs keep what they hold.
    Every one has a subtask, ``name`` being the call of class VDI that makes it.

    Progress is spread over the disks by size. When one fails, those made before are destroyed again,
    unless ``check`` raises ``HalfMade``: it is told before every disk, and after the last, how many there
    are and will be.
    """
    copies: dict[str, str] = {}
    disks = [(vbd, vdi) for vbd, vdi in attachments.disks_in_use(call.pool, vm) if vbd["type"] != "CD"]
    wanted = [(vbd, vdi) for vbd, vdi in disks if vdi.ref not in ignored]
    total = sum(vdi["virtual_size"] for _, vdi in wanted) or 1
    done = 0
    try:
        for vbd, vdi in wanted:
            check(len(copies), len(wanted))
            copies[vbd.ref] = await _copied(call, name, copier, vdi.ref)
            done += vdi["virtual_size"]
            call.pool.tasks.progress(call.task, done / total)
            call.pool.tasks.check(call.task)
        check(len(copies), len(wanted))
    except HalfMade:
        raise
    except XapiFailure:
        await discard_disks(call, list(copies.values()))
        raise
    return copies


async def _copied(call: Call, name: str, copier: DiskCopier, vdi: str) -> str:
    with call.pool.tasks.part(call.task, f"Async.VDI.{name}", call.host.ref) as task:
        return await copier(replace(call, task=task), vdi)


async def copied_image(call: Call, vm: Row, name: str, copier: DiskCopier) -> dict[str, str]:
    """Fields of a VM made from ``vm``: suspended on an image of its own when ``vm`` has one, else halted."""
    if vm["power_state"] != "Suspended" or vm["suspend_VDI"] == NULL_REF:
        return {"power_state": "Halted", "suspend_VDI": NULL_REF}
    image = await _copied(call, name, copier, vm["suspend_VDI"])
    return {"power_state": "Suspended", "suspend_VDI": image}


async def discard_disks(call: Call, refs: list[str]) -> None:
    """Destroy disks that were made for nothing."""
    for ref in refs:
        await vdi_calls.destroy(call, ref)


def copy_record(call: Call, vm: Row, **values: Any) -> str:
    """A VM with the fields of ``vm``, those of a fresh one where they must differ, and ``values`` above
    all.
    """
    db = call.db
    fields = {name: value for name, value in vm.items() if name not in _NEVER_COPIED}
    fields |= _OF_A_FRESH_VM | _NOT_A_SNAPSHOT | {"generation_id": domains.generation_id(call.pool)} | values
    fields["metrics"] = _copy_row(call, "VM_metrics", vm["metrics"]) or domains.new_metrics(call.pool)
    fields["guest_metrics"] = _copy_row(call, "VM_guest_metrics", vm["guest_metrics"]) or NULL_REF
    ref = call.pool.create("VM", **fields)
    return db.row("VM", ref).ref


def copy_devices(call: Call, source: Row, target: str, disks: dict[str, str], *, keep_macs: bool) -> None:
    """VBDs, VIFs, GPUs and TPMs. VBDs with a disk that was not copied are left out; ``keep_macs``: it is the
    same VM at another time, so MACs and unique TPMs are its own.
    """
    db = call.db
    for vbd_ref in list(source["VBDs"]):
        vbd = db.row("VBD", vbd_ref)
        if vbd["type"] != "CD" and vbd_ref not in disks:
            continue
        vdi = disks.get(vbd_ref, vbd["VDI"])
        values = {field: vbd[field] for field in _VBD_FIELDS}
        if vbd["type"] != "CD":
            values["other_config"] = {**values["other_config"], "owner": ""}
        call.pool.create("VBD", VM=target, VDI=vdi, currently_attached=False, **values)
    seed = db.row("VM", target)["other_config"].get("mac_seed", "")
    for vif_ref in list(source["VIFs"]):
        vif = db.row("VIF", vif_ref)
        mac = vif["MAC"] if keep_macs else domains.mac_address(seed, vif["device"])
        values = {field: vif[field] for field in _VIF_FIELDS}
        call.pool.create("VIF", VM=target, MAC=mac, MAC_autogenerated=not keep_macs, **values)
    for vgpu in gpus.of_vm(db, source):
        kept = {field: vgpu[field] for field in ("device", "GPU_group", "type", "other_config")}
        call.pool.create("VGPU", VM=target, **kept)
    _copy_tpms(call, source, target, unique_too=keep_macs)
    allowed_operations.refresh_vm(db, target)


def _copy_tpms(call: Call, source: Row, target: str, *, unique_too: bool) -> None:
    """Those that must be unique are not in clones (xapi: xapi_vtpm.ml ``copy``)."""
    for ref in source.get("VTPMs", ()):
        tpm = call.db.row("VTPM", ref)
        if unique_too or not tpm["is_unique"]:
            values = {field: tpm[field] for field in ("is_unique", "is_protected")}
            copy = call.pool.create("VTPM", VM=target, **values)
            call.pool.tpm_contents[copy] = call.pool.tpm_contents.get(ref, "")


def _copy_row(call: Call, cls: str, ref: str) -> str | None:
    row = call.db.find(cls, ref)
    if row is None:
        return None
    return call.pool.create(cls, **{name: value for name, value in row.items() if name != "uuid"})
