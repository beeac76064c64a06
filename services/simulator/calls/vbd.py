"""Calls of class VBD (xapi: ocaml/xapi/xapi_vbd.ml)."""

from typing import Any

from services.simulator.calls.guests import check_drivers, creates_attached
from services.simulator.database.row import Row
from services.simulator.dispatch.call import Call
from services.simulator.failure import XapiFailure
from services.simulator.model.defaults import NULL_REF
from services.simulator.pool import allowed_operations, attachments, vdi_rules

_REFUSED_TYPES = frozenset({"cbt_metadata", "redo_log", "ha_statefile"})
_MIGRATIONS = frozenset({"pool_migrate", "migrate_send"})


async def create(call: Call, record: dict[str, Any]) -> str:
    """A suspended VM may get it attached, so that it is there when the VM is resumed.

    Raises ``DEVICE_ALREADY_EXISTS``, ``INVALID_DEVICE``, ``VBD_CDS_MUST_BE_READONLY``,
    ``VDI_INCOMPATIBLE_TYPE``, ``VDI_READONLY``, ``VBD_NOT_REMOVABLE_MEDIA``, and
    ``OTHER_OPERATION_IN_PROGRESS`` while the VM migrates.
    """
    db = call.db
    vm = db.row("VM", record["VM"])
    if record["type"] == "CD" and record["mode"] != "RO":
        raise XapiFailure("VBD_CDS_MUST_BE_READONLY")
    if record["empty"] and record["type"] != "CD":
        raise XapiFailure("VBD_NOT_REMOVABLE_MEDIA", "in constructor")
    if not record["empty"]:
        vdi = db.row("VDI", record["VDI"])
        if vdi["type"] in _REFUSED_TYPES:
            raise XapiFailure("VDI_INCOMPATIBLE_TYPE", record["VDI"], vdi_rules.TYPE_NAMES[vdi["type"]])
        if record["mode"] == "RW" and vdi["read_only"]:
            raise XapiFailure("VDI_READONLY", record["VDI"])
    for task, operation in vm["current_operations"].items():
        if operation in _MIGRATIONS:
            raise XapiFailure("OTHER_OPERATION_IN_PROGRESS", "VM", vm.ref, operation, task)
    record["userdevice"] = _device(call, vm, record["userdevice"])
    record["VDI"] = NULL_REF if record["empty"] else record["VDI"]
    if not creates_attached(call, vm):
        record |= {"currently_attached": False, "device": ""}
    ref = call.pool.create("VBD", **record)
    _refresh(call, ref)
    return ref


def _device(call: Call, vm: Row, wanted: str) -> str:
    taken = {call.db.row("VBD", vbd)["userdevice"] for vbd in vm["VBDs"]}
    if wanted == "autodetect":
        return next(str(number) for number in range(255) if str(number) not in taken)
    if not wanted.isdecimal():
        raise XapiFailure("INVALID_DEVICE", wanted)
    if wanted in taken:
        raise XapiFailure("DEVICE_ALREADY_EXISTS", wanted)
    return wanted


async def destroy(call: Call, ref: str) -> None:
    """Raises ``OPERATION_NOT_ALLOWED`` while it is attached."""
    vbd = call.db.row("VBD", ref)
    if vbd["currently_attached"]:
        vm = call.db.row("VM", vbd["VM"])
        raise XapiFailure("OPERATION_NOT_ALLOWED", f"VBD '{vbd['uuid']}' still attached to '{vm['uuid']}'")
    call.db.delete("VBD", ref)
    allowed_operations.refresh(call.db, "VDI", vbd["VDI"])


async def plug(call: Call, ref: str) -> None:
    """Raises ``VM_BAD_POWER_STATE``, ``DEVICE_ALREADY_ATTACHED``, ``VDI_IN_USE``."""
    vbd = call.db.row("VBD", ref)
    _check_running(call, vbd)
    if vbd["currently_attached"]:
        raise XapiFailure("DEVICE_ALREADY_ATTACHED", ref)
    vdi = call.db.find("VDI", vbd["VDI"])
    if vdi is not None:
        attachments.check_exclusive(call.pool, vbd, vdi)
    await attachments.attach(call.pool, ref)
    _refresh(call, ref)


async def unplug(call: Call, ref: str) -> None:
    """Raises ``VM_BAD_POWER_STATE``, ``DEVICE_ALREADY_DETACHED``, ``VBD_NOT_UNPLUGGABLE``,
    ``VM_MISSING_PV_DRIVERS``, ``CANNOT_CONTACT_HOST``."""
    vbd = call.db.row("VBD", ref)
    vm = _check_running(call, vbd)
    if not vbd["currently_attached"]:
        raise XapiFailure("DEVICE_ALREADY_DETACHED", ref)
    if not vbd["unpluggable"]:
        raise XapiFailure("VBD_NOT_UNPLUGGABLE", ref)
    check_drivers(call, vm)
    await attachments.detach(call.pool, ref)
    _refresh(call, ref)


async def assert_attachable(call: Call, ref: str) -> None:
    """Raises ``VDI_IN_USE``."""
    vbd = call.db.row("VBD", ref)
    vdi = call.db.find("VDI", vbd["VDI"])
    if vdi is not None:
        attachments.check_exclusive(call.pool, vbd, vdi)


async def insert(call: Call, ref: str, vdi: str) -> None:
    """Raises ``VBD_NOT_REMOVABLE_MEDIA``, ``VBD_NOT_EMPTY``."""
    vbd = call.db.row("VBD", ref)
    call.db.row("VDI", vdi)
    if vbd["type"] != "CD":
        raise XapiFailure("VBD_NOT_REMOVABLE_MEDIA", ref)
    if not vbd["empty"]:
        raise XapiFailure("VBD_NOT_EMPTY", ref)
    call.db.update("VBD", ref, VDI=vdi, empty=False)
    _refresh(call, ref)


async def eject(call: Call, ref: str) -> None:
    """Raises ``VBD_NOT_REMOVABLE_MEDIA``, ``VBD_IS_EMPTY``."""
    vbd = call.db.row("VBD", ref)
    if vbd["type"] != "CD":
        raise XapiFailure("VBD_NOT_REMOVABLE_MEDIA", ref)
    if vbd["empty"]:
        raise XapiFailure("VBD_IS_EMPTY", ref)
    vdi = vbd["VDI"]
    call.db.update("VBD", ref, VDI=NULL_REF, empty=True)
    allowed_operations.refresh(call.db, "VDI", vdi)
    _refresh(call, ref)


async def set_mode(call: Call, ref: str, value: str) -> None:
    vbd = call.db.row("VBD", ref)
    vm = call.db.row("VM", vbd["VM"])
    if vm["power_state"] != "Halted":
        raise XapiFailure("VM_BAD_POWER_STATE", vm.ref, "halted", vm["power_state"].lower())
    call.db.set("VBD", ref, "mode", value)


def _check_running(call: Call, vbd: Row) -> Row:
    vm = call.db.row("VM", vbd["VM"])
    if vm["power_state"] != "Running":
        raise XapiFailure("VM_BAD_POWER_STATE", vm.ref, "running", vm["power_state"].lower())
    host = call.pool.hosts.get(vm["resident_on"])
    if host is not None and not call.pool.hears(host):
        raise XapiFailure("CANNOT_CONTACT_HOST", host.ref)
    return vm


def _refresh(call: Call, ref: str) -> None:
    allowed_operations.refresh(call.db, "VBD", ref)
    allowed_operations.refresh(call.db, "VDI", call.db.row("VBD", ref)["VDI"])
