"""What a VM's firmware and its pool know of secure boot (xapi: ocaml/xapi/xapi_vm.ml, xapi_pool.ml)."""

from services.simulator.dispatch.call import Call
from services.simulator.failure import XapiFailure

_VARIABLES = "EFI-variables"


async def get_readiness(call: Call, ref: str) -> str:
    """As far as its variables tell."""
    vm = call.db.row("VM", ref)
    if vm["HVM_boot_params"].get("firmware") != "uefi":
        return "not_supported"
    if vm["platform"].get("secureboot") not in ("true", "1"):
        return "disabled"
    if ref in call.pool.in_setup_mode:
        return "setup_mode"
    return "ready" if vm["NVRAM"].get(_VARIABLES) else "first_boot"


async def set_uefi_mode(call: Call, ref: str, mode: str) -> str:
    """What the tool that does it prints. Raises ``INTERNAL_ERROR`` for a VM without UEFI."""
    vm = call.db.row("VM", ref)
    if vm["HVM_boot_params"].get("firmware") != "uefi":
        raise XapiFailure("INTERNAL_ERROR", "varstore-sb-state: the VM has no UEFI variables")
    (call.pool.in_setup_mode.add if mode == "setup" else call.pool.in_setup_mode.discard)(ref)
    return f"Set {vm['uuid']} to {mode} mode"


async def get_pool_readiness(call: Call, pool: str) -> str:
    """By the certificates that the pool hands to VMs; simulated hosts come with a complete set."""
    call.db.row("pool", pool)
    return "ready"
