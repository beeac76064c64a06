"""Calls of class VM about its record (xapi: ocaml/xapi/xapi_vm.ml)."""

from typing import Any

from services.simulator.calls import blobs
from services.simulator.database.row import Row
from services.simulator.dispatch.call import Call
from services.simulator.failure import XapiFailure
from services.simulator.model.defaults import NULL_REF
from services.simulator.pool import (
    allowed_operations,
    domains,
    high_availability,
    placement,
    vm_groups,
    vm_rules,
)
from services.simulator.pool.facts import BIOS_STRINGS
from services.simulator.pool.operations import vm_operation

_IGNORED_AT_CREATION = frozenset(
    {
        "blocked_operations",
        "bios_strings",
        "is_a_snapshot",
        "snapshot_of",
        "snapshot_time",
        "is_control_domain",
        "is_default_template",
        "guest_metrics",
        "metrics",
        "uuid",
        "power_state",
        "suspend_VDI",
    }
)
_HARDWARE_PLATFORM = 2
_MAX_BIOS_STRING = 512
_MAX_DEVICES = 255
_MAX_VIFS = 7


async def create(call: Call, record: dict[str, Any]) -> str:
    """Halted, unless the record says Suspended and names an image; what it says of operations is ignored."""
    suspended = record.get("power_state") == "Suspended"
    values = {name: value for name, value in record.items() if name not in _IGNORED_AT_CREATION}
    if values.get("domain_type", "unspecified") == "unspecified":
        values["domain_type"] = "hvm" if record["HVM_boot_policy"] else "pv"
    seed = record["other_config"].get("mac_seed") or call.pool.ids.new()
    image = record.get("suspend_VDI", NULL_REF)
    if suspended and call.db.find("VDI", image) is None:
        raise XapiFailure("VM_BAD_POWER_STATE", call.pool.new_ref(), "halted", "suspended")
    ref = call.pool.create(
        "VM",
        **values
        | {
            "power_state": "Suspended" if suspended else "Halted",
            "suspend_VDI": image if suspended else NULL_REF,
            "other_config": {**record["other_config"], "mac_seed": seed},
            "hardware_platform_version": record.get("hardware_platform_version") or _HARDWARE_PLATFORM,
            "metrics": domains.new_metrics(call.pool),
            "domid": -1,
        },
    )
    call.db.set("VM", ref, "memory_overhead", placement.memory_overhead(call.db.row("VM", ref)))
    allowed_operations.refresh_vm(call.db, ref)
    return ref


async def destroy(call: Call, ref: str) -> None:
    """The VM, its devices, metrics and blobs; its disks and snapshots are left behind, children get its
    parent.
    """
    async with vm_operation(call, ref, "destroy"):
        destroy_record(call, ref)


def destroy_record(call: Call, ref: str) -> None:
    """Delete the records that make a VM."""
    db = call.db
    vm = db.row("VM", ref)
    for blob in list(vm["blobs"].values()):
        if db.find("blob", blob) is not None:
            blobs.destroy_record(db, blob)
    vm_groups.put_into(db, vm, [])
    for child in list(vm["children"]):
        db.set("VM", child, "parent", vm["parent"])
    for cls in ("VBD", "VIF", "VGPU", "VUSB", "VTPM", "console"):
        for device in list(vm.get(f"{cls}s", [])):
            vdi = db.row(cls, device)["VDI"] if cls == "VBD" else NULL_REF
            db.delete(cls, device)
            call.pool.tpm_contents.pop(device, None)
            allowed_operations.refresh(db, "VDI", vdi)
    db.delete("VM", ref)
    for cls, field in (("VM_metrics", "metrics"), ("VM_guest_metrics", "guest_metrics")):
        if db.find(cls, vm[field]) is not None:
            db.delete(cls, vm[field])


async def set_is_a_template(call: Call, ref: str, value: bool) -> None:
    """A template has no USB device, proxy, group or metrics, and HA does not look after it. What becomes a VM
    is installed then, if it has metrics to say so; it gets none (recorded). Raises ``VM_IS_PROTECTED`` if HA
    looks after it (xapi: ocaml/xapi/xapi_vm_helpers.ml ``set_is_a_template``).
    """
    vm = call.db.row("VM", ref)
    if value:
        vm_rules.check(call.db, vm, "make_into_template")
        restarts = vm["ha_always_run"] and vm["ha_restart_priority"] == "restart"
        if restarts and call.db.only("pool")["ha_enabled"]:
            raise XapiFailure("VM_IS_PROTECTED", ref)
        _strip(call, vm)
    else:
        if vm["is_default_template"]:
            call.db.set("VM", ref, "is_default_template", False)
        domains.measure(call.pool, vm, install_time=call.pool.now())
    call.db.set("VM", ref, "is_a_template", value)
    allowed_operations.refresh_vm(call.db, ref)


def _strip(call: Call, vm: Row) -> None:
    """Take from a VM what no template has. Old releases leave it the reference of its metrics."""
    db = call.db
    db.set("VM", vm.ref, "ha_always_run", False)
    for usb in list(vm.get("VUSBs", [])):
        db.delete("VUSB", usb)
    for proxy in db.rows("PVS_proxy"):
        if proxy["VIF"] in vm["VIFs"]:
            db.delete("PVS_proxy", proxy.ref)
    vm_groups.put_into(db, vm, [])
    if db.find("VM_metrics", vm["metrics"]) is not None:
        db.delete("VM_metrics", vm["metrics"])
    if db.model.forgets_metrics:
        db.set("VM", vm.ref, "metrics", NULL_REF)


async def set_memory_limits(
    call: Call, ref: str, static_min: int, static_max: int, dynamic_min: int, dynamic_max: int
) -> None:
    """Bytes. Raises ``MEMORY_CONSTRAINT_VIOLATION_ORDER``."""
    vm_rules.check(call.db, call.db.row("VM", ref), "changing_memory_limits")
    if not static_min <= dynamic_min <= dynamic_max <= static_max:
        raise XapiFailure("MEMORY_CONSTRAINT_VIOLATION_ORDER")
    limits = {"static_min": static_min, "static_max": static_max, "dynamic_min": dynamic_min}
    limits["dynamic_max"] = dynamic_max
    call.db.update("VM", ref, **{f"memory_{name}": value for name, value in limits.items()})


async def set_memory(call: Call, ref: str, value: int) -> None:
    await set_memory_limits(call, ref, value, value, value, value)


async def set_memory_static_range(call: Call, ref: str, low: int, high: int) -> None:
    vm = call.db.row("VM", ref)
    await set_memory_limits(call, ref, low, high, vm["memory_dynamic_min"], vm["memory_dynamic_max"])


async def set_memory_dynamic_range(call: Call, ref: str, low: int, high: int) -> None:
    vm = call.db.row("VM", ref)
    if not vm["memory_static_min"] <= low <= high <= vm["memory_static_max"]:
        raise XapiFailure("MEMORY_CONSTRAINT_VIOLATION_ORDER")
    call.db.update("VM", ref, memory_dynamic_min=low, memory_dynamic_max=high)


async def set_vcpus_max(call: Call, ref: str, value: int) -> None:
    vm_rules.check(call.db, call.db.row("VM", ref), "changing_VCPUs")
    call.db.set("VM", ref, "VCPUs_max", value)


async def set_nvram(call: Call, ref: str, value: dict[str, str]) -> None:
    vm_rules.check(call.db, call.db.row("VM", ref), "changing_NVRAM")
    call.db.set("VM", ref, "NVRAM", value)


async def set_ha_restart_priority(call: Call, ref: str, value: str) -> None:
    """``restart``, ``best-effort`` or nothing. Raises ``INVALID_VALUE``."""
    if value not in ("", "restart", "best-effort"):
        raise XapiFailure("INVALID_VALUE", "ha_restart_priority", value)
    call.db.update("VM", ref, ha_restart_priority=value, ha_always_run=value == "restart")
    high_availability.update(call.pool)


async def set_bios_strings(call: Call, ref: str, value: dict[str, str]) -> None:
    """Once. Raises ``VM_BIOS_STRINGS_ALREADY_SET`` and ``INVALID_VALUE``."""
    if call.db.row("VM", ref)["bios_strings"]:
        raise XapiFailure("VM_BIOS_STRINGS_ALREADY_SET")
    for key, text in value.items():
        if key not in BIOS_STRINGS:
            raise XapiFailure("INVALID_VALUE", key, "Unknown key")
        if text == "":
            raise XapiFailure("INVALID_VALUE", key, "Value provided is empty")
        if len(text) > _MAX_BIOS_STRING:
            raise XapiFailure(
                "INVALID_VALUE", key, f"{text} has length more than {_MAX_BIOS_STRING} characters"
            )
    call.db.set("VM", ref, "bios_strings", {**BIOS_STRINGS, **value})


async def copy_bios_strings(call: Call, ref: str, host: str) -> None:
    """Those of a host, once. Raises ``VM_BIOS_STRINGS_ALREADY_SET``."""
    if call.db.row("VM", ref)["bios_strings"]:
        raise XapiFailure("VM_BIOS_STRINGS_ALREADY_SET")
    strings = {**BIOS_STRINGS, **call.db.row("host", host)["bios_strings"]}
    call.db.set("VM", ref, "bios_strings", strings)


async def get_allowed_vbd_devices(call: Call, ref: str) -> list[str]:
    """Free device numbers."""
    vm = call.db.row("VM", ref)
    taken = {call.db.row("VBD", vbd)["userdevice"] for vbd in vm["VBDs"]}
    return [str(number) for number in range(_MAX_DEVICES) if str(number) not in taken]


async def get_allowed_vif_devices(call: Call, ref: str) -> list[str]:
    vm = call.db.row("VM", ref)
    taken = {call.db.row("VIF", vif)["device"] for vif in vm["VIFs"]}
    return [str(number) for number in range(_MAX_VIFS) if str(number) not in taken]


async def maximise_memory(call: Call, ref: str, total: int, approximate: bool) -> int:
    vm = call.db.row("VM", ref)
    return total - placement.memory_overhead({**vm, "memory_static_max": total})


async def get_cooperative(call: Call, ref: str) -> bool:
    call.db.row("VM", ref)
    return True
