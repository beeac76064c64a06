"""Changes to a VM while it runs, and questions about where it could (xapi: ocaml/xapi/xapi_vm.ml)."""

from collections.abc import Mapping
from typing import Any

from services.simulator.dispatch.call import Call, CallFunction
from services.simulator.failure import XapiFailure
from services.simulator.pool import domains, placement


async def assert_can_boot_here(call: Call, ref: str, host: str) -> None:
    """Raises ``HOST_NOT_LIVE``, ``HOST_DISABLED``, ``VM_REQUIRES_SR``, ``VM_REQUIRES_NETWORK``,
    ``HOST_NOT_ENOUGH_FREE_MEMORY``."""
    placement.check(call.pool, call.db.row("host", host).ref, call.db.row("VM", ref))


async def assert_agile(call: Call, ref: str) -> None:
    placement.check_agile(call.pool, call.db.row("VM", ref))


async def get_boot_record(call: Call, ref: str) -> Mapping[str, Any]:
    """What it was booted with: its record, since boot records are kept no more."""
    return call.db.row("VM", ref)


async def compute_memory_overhead(call: Call, ref: str) -> int:
    """Bytes."""
    return placement.memory_overhead(call.db.row("VM", ref))


async def set_vcpus_number_live(call: Call, ref: str, count: int) -> None:
    """Raises ``INVALID_VALUE``, ``VM_BAD_POWER_STATE``."""
    vm = _running(call, ref)
    if not 1 <= count <= vm["VCPUs_max"]:
        raise XapiFailure("INVALID_VALUE", "VCPU values must satisfy: 0 < VCPUs ≤ VCPUs_max", str(count))
    call.db.set("VM", ref, "VCPUs_at_startup", count)
    domains.measure(call.pool, vm, VCPUs_number=count)


def refuse_for_ever(name: str) -> CallFunction:
    """What xapi itself has not (xapi: ocaml/xapi/xapi_vm.ml ``send_sysrq``). Raises ``NOT_IMPLEMENTED``."""

    async def refuse(call: Call, ref: str, _: str) -> None:
        call.db.row("VM", ref)
        raise XapiFailure("NOT_IMPLEMENTED", name)

    return refuse


async def set_memory_target_live(call: Call, ref: str, target: int) -> None:
    """Bytes. Raises ``VM_BAD_POWER_STATE``."""
    vm = _running(call, ref)
    call.db.set("VM", ref, "memory_target", target)
    domains.measure(call.pool, vm, memory_actual=target)


async def wait_memory_target_live(call: Call, ref: str) -> None:
    """A simulated guest is there at once."""
    call.db.row("VM", ref)


async def set_shadow_multiplier_live(call: Call, ref: str, multiplier: float) -> None:
    """Raises ``VM_BAD_POWER_STATE``, ``INVALID_VALUE``."""
    _running(call, ref)
    if multiplier < 1.0:
        raise XapiFailure("INVALID_VALUE", "multiplier", str(multiplier))
    call.db.set("VM", ref, "HVM_shadow_multiplier", multiplier)


async def add_to_vcpus_params_live(call: Call, ref: str, key: str, value: str) -> None:
    """Raises ``VM_BAD_POWER_STATE``."""
    vm = _running(call, ref)
    call.db.set("VM", ref, "VCPUs_params", {**vm["VCPUs_params"], key: value})


async def restart_device_models(call: Call, ref: str) -> None:
    """Raises ``VM_BAD_POWER_STATE``."""
    _running(call, ref)


async def query_services(call: Call, ref: str) -> dict[str, str]:
    """No VM here serves others."""
    call.db.row("VM", ref)
    return {}


async def call_plugin(call: Call, ref: str, plugin: str, function: str, arguments: dict[str, str]) -> str:
    """No guest here has plug-ins. Raises ``VM_BAD_POWER_STATE``, ``XENAPI_MISSING_PLUGIN``."""
    _running(call, ref)
    raise XapiFailure("XENAPI_MISSING_PLUGIN", plugin)


async def set_appliance(call: Call, ref: str, appliance: str) -> None:
    """Raises ``VM_IS_SNAPSHOT``, ``VM_IS_TEMPLATE``, ``OPERATION_NOT_ALLOWED``."""
    vm = call.db.row("VM", ref)
    if vm["is_control_domain"]:
        raise XapiFailure("OPERATION_NOT_ALLOWED", "Control domains cannot be assigned to appliances.")
    for field, code in (("is_a_snapshot", "VM_IS_SNAPSHOT"), ("is_a_template", "VM_IS_TEMPLATE")):
        if vm[field]:
            raise XapiFailure(code, ref, "set_appliance")
    call.db.set("VM", ref, "appliance", appliance)


def _running(call: Call, ref: str) -> Any:
    vm = call.db.row("VM", ref)
    if vm["power_state"] != "Running":
        raise XapiFailure("VM_BAD_POWER_STATE", ref, "running", vm["power_state"].lower())
    return vm
