"""Whether a VM can be recovered elsewhere, and recovering it (xapi: ocaml/xapi/xapi_dr.ml, xapi_vm.ml).

``session_to`` is a session of the pool that takes the VM. Here both are the same pool: a pool that was found
on a disk (``VDI.open_database``) has no sessions here.
"""

from services.simulator.database.row import Row
from services.simulator.dispatch.call import Call
from services.simulator.failure import XapiFailure
from services.simulator.model.defaults import NULL_REF
from services.simulator.pool import attachments, placement


async def assert_can_be_recovered(call: Call, vm_ref: str, session_to: str) -> None:
    """Raises ``VM_IS_PART_OF_AN_APPLIANCE``, ``VM_REQUIRES_SR``, ``SESSION_INVALID``."""
    call.pool.sessions.use(session_to)
    vm = call.db.row("VM", vm_ref)
    if vm["appliance"] != NULL_REF:
        raise XapiFailure("VM_IS_PART_OF_AN_APPLIANCE", vm_ref, vm["appliance"])
    _check_storage(call, vm)


async def recover(call: Call, vm_ref: str, session_to: str, force: bool) -> None:
    """The VM is in the pool that it would come to. Raises ``VM_TO_IMPORT_IS_NOT_NEWER_VERSION``."""
    await assert_can_be_recovered(call, vm_ref, session_to)
    version = str(call.db.row("VM", vm_ref)["version"])
    raise XapiFailure("VM_TO_IMPORT_IS_NOT_NEWER_VERSION", vm_ref, version, version)


async def get_srs_required_for_recovery(call: Call, vm_ref: str, session_to: str) -> list[str]:
    """SRs of its disks that the pool does not have attached yet."""
    call.pool.sessions.use(session_to)
    return _missing(call, call.db.row("VM", vm_ref))


async def assert_appliance_can_be_recovered(call: Call, ref: str, session_to: str) -> None:
    """Raises ``VM_REQUIRES_SR``, ``SESSION_INVALID``."""
    call.pool.sessions.use(session_to)
    for vm in call.db.row("VM_appliance", ref)["VMs"]:
        _check_storage(call, call.db.row("VM", vm))


async def get_srs_required_for_appliance(call: Call, ref: str, session_to: str) -> list[str]:
    call.pool.sessions.use(session_to)
    vms = [call.db.row("VM", vm) for vm in call.db.row("VM_appliance", ref)["VMs"]]
    return list(dict.fromkeys(sr for vm in vms for sr in _missing(call, vm)))


async def recover_appliance(call: Call, ref: str, session_to: str, force: bool) -> None:
    """Its VMs are in the pool that they would come to. Raises ``VM_TO_IMPORT_IS_NOT_NEWER_VERSION``."""
    await assert_appliance_can_be_recovered(call, ref, session_to)
    for vm in call.db.row("VM_appliance", ref)["VMs"]:
        version = str(call.db.row("VM", vm)["version"])
        raise XapiFailure("VM_TO_IMPORT_IS_NOT_NEWER_VERSION", vm, version, version)


def _missing(call: Call, vm: Row) -> list[str]:
    """SRs of its disks that no host has attached."""
    disks = [vdi for vbd, vdi in attachments.disks_in_use(call.pool, vm) if vbd["type"] != "CD"]
    srs = dict.fromkeys(vdi["SR"] for vdi in disks)
    return [sr for sr in srs if not any(placement.sees(call.pool, host, sr) for host in call.pool.hosts)]


def _check_storage(call: Call, vm: Row) -> None:
    for sr in _missing(call, vm):
        raise XapiFailure("VM_REQUIRES_SR", vm.ref, sr)
