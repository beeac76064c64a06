"""What records say of guests, and why they cannot be captured in one way or another.

Sources: xapi, ocaml/xapi/xapi_vm_lifecycle.ml (when an operation may begin), xapi_guest_agent.ml (metrics).
"""

from collections.abc import Mapping
from typing import Any

from services.hypervisor.domain.guest import GuestFacts, domain_controller_hint

Record = dict[str, Any]
CHECKPOINT = "checkpoint"
QUIESCED_SNAPSHOT = "snapshot_with_quiesce"
_NESTED = ("nested-virt", "exp-nested-hvm")


def guest_facts(vm: Record, metrics: Record | None) -> GuestFacts:
    """What is told by the VM's record and its guest metrics (None or empty when nothing reported)."""
    told = metrics or {}
    system = told.get("os_version", {})
    drivers = told.get("PV_drivers_version", {})
    version = [drivers[part] for part in ("major", "minor", "micro", "build") if drivers.get(part)]
    networks = told.get("networks", {})
    return GuestFacts(
        os_name=system.get("name", ""),
        distribution=system.get("distro", ""),
        os_version=".".join(system[part] for part in ("major", "minor") if system.get(part)),
        drivers_version=".".join(version),
        drivers_detected=bool(told.get("PV_drivers_detected")),
        agent=bool(told.get("live")) and bool(system or networks),
        domain_controller_hint=domain_controller_hint(vm["name_label"], vm["tags"], system.get("name", "")),
        vtpm=bool(vm.get("VTPMs")),
        passthrough=_passthrough(vm),
        addresses=tuple(dict.fromkeys(networks[key] for key in sorted(networks) if networks[key])),
    )


def shutdown_obstacle(vm: Record, metrics: Record | None) -> str:
    """Why a running VM cannot be asked to shut down, "" when it can."""
    if "clean_shutdown" in vm["blocked_operations"]:
        return "somebody has blocked clean shutdowns of it"
    if (metrics or {}).get("other", {}).get("feature-shutdown") != "1":
        return "its guest tools are missing or do not run"
    return ""


def quiesce_obstacle(vm: Record) -> str:
    """Why the pool cannot quiesce a running VM, "" when it can (releases up to 8.0 alone do)."""
    if QUIESCED_SNAPSHOT in vm["allowed_operations"]:
        return ""
    return "the pool offers no quiesced snapshot of it"


def memory_obstacle(vm: Record, metrics: Record | None, restrictions: Mapping[str, str]) -> str:
    """Why a VM's memory cannot be captured with a checkpoint, "" when it can.

    ``restrictions`` are the pool's. Its disks may stand in the way besides.
    """
    if restrictions.get("restrict_checkpoint") == "true":
        return "the pool's licence does not include checkpoints"
    if CHECKPOINT in vm["blocked_operations"]:
        return "somebody has blocked checkpoints of it"
    if vm["power_state"] == "Suspended":
        return ""
    if vm["power_state"] != "Running":
        return "it is paused" if vm["power_state"] == "Paused" else "it is off and has no memory"
    if any(vm.get("platform", {}).get(flag) == "true" for flag in _NESTED):
        return "it may run virtual machines of its own (nested virtualization)"
    passthrough = _passthrough(vm)
    if passthrough and CHECKPOINT not in vm["allowed_operations"]:
        return f"it uses hardware of its host ({', '.join(passthrough)})"
    other = (metrics or {}).get("other", {})
    if reason := other.get("data-cant-suspend-reason", ""):
        return f"its guest says that it cannot be suspended: {reason}"
    if other.get("feature-suspend") != "1":
        return "its guest tools are missing or do not run"
    return ""


def _passthrough(vm: Record) -> tuple[str, ...]:
    pci = vm.get("other_config", {}).get("pci", "")
    parts = [part.rpartition("/")[2] for part in pci.split(",") if part]
    devices = [f"PCI device {part}" for part in parts] or ["PCI device"] * bool(vm.get("attached_PCIs"))
    return (*["vGPU"] * bool(vm.get("VGPUs")), *devices, *["USB device"] * bool(vm.get("VUSBs")))
