"""Calls of class VTPM (xapi: ocaml/xapi/xapi_vtpm.ml). Its contents leave a pool in exported VMs only."""

from services.simulator.dispatch.call import Call
from services.simulator.failure import XapiFailure
from services.simulator.pool import allowed_operations

_MAX_PER_VM = 1


async def create(call: Call, vm_ref: str, is_unique: bool) -> str:
    """Empty until the VM starts. Raises ``FEATURE_RESTRICTED``, ``VM_BAD_POWER_STATE``,
    ``VTPM_MAX_AMOUNT_REACHED``."""
    if call.db.only("pool")["restrictions"].get("restrict_vtpm") == "true":
        raise XapiFailure("FEATURE_RESTRICTED", "restrict_vtpm")
    _check_halted(call, vm_ref)
    if len(call.db.row("VM", vm_ref)["VTPMs"]) >= _MAX_PER_VM:
        raise XapiFailure("VTPM_MAX_AMOUNT_REACHED", str(_MAX_PER_VM))
    ref = call.pool.create("VTPM", VM=vm_ref, is_unique=is_unique)
    allowed_operations.refresh(call.db, "VTPM", ref)
    return ref


async def destroy(call: Call, ref: str) -> None:
    """Raises ``VM_BAD_POWER_STATE``."""
    _check_halted(call, call.db.row("VTPM", ref)["VM"])
    call.db.delete("VTPM", ref)
    call.pool.tpm_contents.pop(ref, None)


def _check_halted(call: Call, vm_ref: str) -> None:
    vm = call.db.row("VM", vm_ref)
    if vm["power_state"] != "Halted":
        raise XapiFailure("VM_BAD_POWER_STATE", vm_ref, "halted", vm["power_state"].lower())
