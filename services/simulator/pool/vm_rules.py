"""Which operation a VM allows when (xapi: ocaml/xapi/xapi_vm_lifecycle.ml)."""

from services.simulator.database.database import Database
from services.simulator.database.row import Row
from services.simulator.failure import XapiFailure
from services.simulator.model.defaults import NULL_REF
from services.simulator.pool import gpus

_POWER_STATES = ("Halted", "Paused", "Suspended", "Running")
_ANY = frozenset(_POWER_STATES)
_HALTED = frozenset({"Halted"})
_PAUSED = frozenset({"Paused"})
_RUNNING = frozenset({"Running"})
_SUSPENDED = frozenset({"Suspended"})

POWER_STATES = {
    "changing_NVRAM": _HALTED,
    "changing_dynamic_range": _HALTED | _RUNNING,
    "changing_shadow_memory": _HALTED,
    "changing_static_range": _HALTED,
    "changing_VCPUs": _HALTED,
    "changing_memory_limits": _HALTED,
    "make_into_template": _HALTED,
    "pool_migrate": _RUNNING,
    "migrate_send": _HALTED | _SUSPENDED | _RUNNING,
    "provision": _HALTED,
    "suspend": _RUNNING,
    "resume": _SUSPENDED,
    "resume_on": _SUSPENDED,
    "hard_reboot": _PAUSED | _RUNNING,
    "hard_shutdown": _PAUSED | _SUSPENDED | _RUNNING,
    "clean_reboot": _RUNNING,
    "clean_shutdown": _RUNNING,
    "unpause": _PAUSED,
    "pause": _RUNNING,
    "destroy": _HALTED | _SUSPENDED,
    "export": _HALTED | _SUSPENDED,
    "start_on": _HALTED,
    "start": _HALTED,
    "checkpoint": _PAUSED | _SUSPENDED | _RUNNING,
    "revert": _ANY,
    "clone": _HALTED,
    "copy": _HALTED,
    "snapshot": _ANY,
    "snapshot_with_quiesce": _RUNNING,
    "metadata_export": _ANY,
}
"""The power states in which each operation may begin."""
NOT_LISTED = frozenset({"metadata_export", "changing_VCPUs", "changing_memory_limits"})
"""Operations that never show in allowed_operations."""
_OF_TEMPLATES = frozenset(
    {
        "changing_NVRAM",
        "changing_dynamic_range",
        "changing_shadow_memory",
        "changing_static_range",
        "changing_VCPUs",
        "changing_memory_limits",
        "make_into_template",
        "clone",
        "copy",
        "export",
        "metadata_export",
        "provision",
        "destroy",
        "migrate_send",
    }
)
_NOT_OF_DEFAULT_TEMPLATES = frozenset({"destroy", "migrate_send"})
_OF_SNAPSHOTS = frozenset(
    {"revert", "clone", "copy", "export", "destroy", "hard_shutdown", "metadata_export", "make_into_template"}
)
_OF_CONTROL_DOMAINS = frozenset({"changing_dynamic_range", "changing_static_range", "metadata_export"})
_FEATURES = {
    "suspend": "feature-suspend",
    "checkpoint": "feature-suspend",
    "clean_shutdown": "feature-shutdown",
    "clean_reboot": "feature-reboot",
    "pool_migrate": "feature-suspend",
    "migrate_send": "feature-suspend",
}
"""What a running guest must be able to do."""
CANNOT_SUSPEND = "data-cant-suspend-reason"
"""Where a guest's tools say why it cannot be suspended (VM_guest_metrics.other)."""
QUIESCED = "snapshot_with_quiesce"
_NOT_WITH_USB = frozenset({"snapshot", "checkpoint", "suspend", "pool_migrate", "migrate_send"})
"""What a device of its host keeps a VM from."""
_MOVING = frozenset({"pool_migrate", "migrate_send", "suspend", "checkpoint"})
"""What a VM with virtual GPUs can do only if they can."""
_TOGETHER = (frozenset({"clone", "copy", "export"}), frozenset({"snapshot", "checkpoint", QUIESCED}))
_CANCELS_OTHERS = frozenset({"hard_shutdown"})


def check(db: Database, vm: Row, operation: str, task: str = NULL_REF) -> None:
    """Raises what forbids ``operation`` now. Operations of ``task`` itself do not stand in its way.

    ``OTHER_OPERATION_IN_PROGRESS`` means: not yet.
    """
    if operation in vm["blocked_operations"]:
        raise XapiFailure("OPERATION_BLOCKED", vm.ref, vm["blocked_operations"][operation])
    _check_feature(db, vm, operation)
    _check_power(vm, operation)
    _check_others(vm, operation, task)
    if vm["is_a_snapshot"]:
        if operation not in _OF_SNAPSHOTS:
            raise XapiFailure("VM_IS_SNAPSHOT", vm.ref, operation)
    elif operation == "revert":
        raise XapiFailure("ONLY_REVERT_SNAPSHOT", vm.ref)
    elif vm["is_a_template"]:
        if operation not in _OF_TEMPLATES or (
            vm["is_default_template"] and operation in _NOT_OF_DEFAULT_TEMPLATES
        ):
            raise XapiFailure("VM_IS_TEMPLATE", vm.ref, operation)
    elif operation == "provision":
        raise XapiFailure("PROVISION_ONLY_ALLOWED_ON_TEMPLATE")
    if operation in _NOT_WITH_USB and vm.get("VUSBs"):
        raise XapiFailure("VM_HAS_VUSBS", vm.ref)
    if vm["is_control_domain"] and operation not in _OF_CONTROL_DOMAINS:
        raise XapiFailure("OPERATION_NOT_ALLOWED", "This operation is not allowed on a control domain")
    if operation in _MOVING and vm["VGPUs"] and not gpus.movable(db, gpus.of_vm(db, vm)):
        raise XapiFailure("VM_HAS_VGPU", vm.ref)


def allowed(db: Database, vm: Row) -> list[str]:
    """What allowed_operations should list now."""
    return [name for name in POWER_STATES if _is_listed(db, name) and _allows(db, vm, name)]


def _is_listed(db: Database, operation: str) -> bool:
    """Quiesced snapshots went with release 8.1."""
    gone = operation == QUIESCED and not db.model.offers(f"VM.{QUIESCED}")
    return operation not in NOT_LISTED and not gone


def _allows(db: Database, vm: Row, operation: str) -> bool:
    if operation == "make_into_template" and (vm["is_a_snapshot"] or vm["is_a_template"]):
        return False
    try:
        check(db, vm, operation)
    except XapiFailure:
        return False
    return True


def _check_power(vm: Row, operation: str) -> None:
    expected = POWER_STATES[operation]
    if operation in ("clone", "copy") and vm["is_a_snapshot"]:
        expected = expected | _SUSPENDED
    if vm["power_state"] not in expected:
        names = ", ".join(state.lower() for state in _POWER_STATES if state in expected)
        raise XapiFailure("VM_BAD_POWER_STATE", vm.ref, names, vm["power_state"].lower())


def _check_others(vm: Row, operation: str, task: str) -> None:
    others = {name for ref, name in vm["current_operations"].items() if ref != task}
    if not others or operation in _CANCELS_OTHERS:
        return
    if any(operation in group and others <= group for group in _TOGETHER):
        return
    text = "{" + ",".join(sorted(others)) + "}" if len(others) > 1 else next(iter(others))
    holder = next(ref for ref in vm["current_operations"] if ref != task)
    raise XapiFailure("OTHER_OPERATION_IN_PROGRESS", "VM", vm.ref, text, holder)


def _check_feature(db: Database, vm: Row, operation: str) -> None:
    if operation == QUIESCED:
        _check_quiesce(db, vm)
    feature = _FEATURES.get(operation)
    if feature is None or vm["power_state"] != "Running":
        return
    metrics = db.find("VM_guest_metrics", vm["guest_metrics"])
    if metrics is None or metrics["other"].get(feature) != "1":
        raise XapiFailure("VM_LACKS_FEATURE", vm.ref)
    reason = metrics["other"].get(CANNOT_SUSPEND)
    if feature == _FEATURES["suspend"] and reason is not None:
        raise XapiFailure("VM_NON_SUSPENDABLE", vm.ref, reason)


def _check_quiesce(db: Database, vm: Row) -> None:
    """The guest's agent must offer it (xapi 8.0: ocaml/xapi/xapi_vm_lifecycle.ml)."""
    metrics = db.find("VM_guest_metrics", vm["guest_metrics"])
    offered = {} if metrics is None else metrics["other"]
    if "1" not in (offered.get("feature-quiesce"), offered.get("feature-snapshot")):
        raise XapiFailure("VM_SNAPSHOT_WITH_QUIESCE_NOT_SUPPORTED", vm.ref, "the guest does not offer it")
