"""Keeping ``allowed_operations`` right after a change."""

from collections.abc import Callable, Mapping

from services.simulator.database.database import Database
from services.simulator.database.row import Row
from services.simulator.pool import vdi_rules, vm_rules

_SR_OPERATIONS = {
    "vdi_enable_cbt": "VDI_CONFIG_CBT",
    "vdi_list_changed_blocks": "VDI_CONFIG_CBT",
    "vdi_disable_cbt": "VDI_CONFIG_CBT",
    "vdi_data_destroy": "VDI_CONFIG_CBT",
    "vdi_resize": "VDI_RESIZE",
    "vdi_clone": "VDI_CLONE",
    "vdi_snapshot": "VDI_SNAPSHOT",
    "vdi_create": "VDI_CREATE",
    "vdi_destroy": "VDI_DELETE",
    "vdi_set_on_boot": "VDI_RESET_ON_BOOT",
    "update": "SR_UPDATE",
}


def refresh(db: Database, cls: str, ref: str) -> None:
    """Recompute one object's list; an object that is gone, or of a class without rules, is none of ours."""
    row = db.find(cls, ref)
    if row is not None and cls in _RULES:
        db.set(cls, ref, "allowed_operations", _RULES[cls](db, row))


def refresh_vm(db: Database, vm: str) -> None:
    """Of a VM, its devices and its disks."""
    refresh(db, "VM", vm)
    row = db.row("VM", vm)
    for cls in ("VIF", "VTPM"):
        for device in row.get(f"{cls}s", ()):
            refresh(db, cls, device)
    for vbd in row["VBDs"]:
        refresh(db, "VBD", vbd)
        refresh(db, "VDI", db.row("VBD", vbd)["VDI"])


def _vbd(db: Database, vbd: Row) -> list[str]:
    vm = db.find("VM", vbd["VM"])
    if vm is None or vm["is_a_snapshot"]:
        return []
    if vm["is_control_domain"]:
        return ["attach", "pause", "unpause", "unplug", "unplug_force"]
    names = ["attach"]
    if vm["power_state"] == "Running":
        names = [
            "unplug" if vbd["currently_attached"] and _has_tools(db, vm) else "attach",
            "unpause",
            "pause",
        ]
    if vbd["type"] == "CD":
        names.insert(1, "insert" if vbd["empty"] else "eject")
    return names


def _vif(db: Database, vif: Row) -> list[str]:
    vm = db.find("VM", vif["VM"])
    running = vm is not None and vm["power_state"] == "Running" and _has_tools(db, vm)
    return ["attach", "unplug"] if running and vif["currently_attached"] else ["attach"]


def _sr(db: Database, sr: Row) -> list[str]:
    features = vdi_rules.sm_features(db, sr.ref)
    able = [name for name, feature in _SR_OPERATIONS.items() if feature in features]
    return [*able, "vdi_introduce", "unplug", "plug", "pbd_create", "pbd_destroy", "scan"]


def _has_tools(db: Database, vm: Row) -> bool:
    metrics = db.find("VM_guest_metrics", vm["guest_metrics"])
    return metrics is not None and bool(metrics["PV_drivers_detected"])


def _vtpm(db: Database, vtpm: Row) -> list[str]:
    vm = db.find("VM", vtpm["VM"])
    return ["destroy"] if vm is not None and vm["power_state"] == "Halted" else []


_RULES: Mapping[str, Callable[[Database, Row], list[str]]] = {
    "VM": vm_rules.allowed,
    "VDI": vdi_rules.allowed,
    "VBD": _vbd,
    "VIF": _vif,
    "SR": _sr,
    "VTPM": _vtpm,
}
