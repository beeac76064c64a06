"""Checkpoints: snapshots with memory (xapi: ocaml/xapi/xapi_vm_snapshot.ml ``checkpoint``).

The pool suspends a running VM to an image of type ``suspend``, snapshots its disks and the image, and
resumes it. The snapshot has the image as its suspend_VDI.
"""

from services.chassis.errors import FailedPrecondition
from services.hypervisor.adapters import xapi_taking
from services.hypervisor.adapters.xapi_objects import Record, XapiObjects
from services.hypervisor.adapters.xapi_rpc import XapiFailure
from services.hypervisor.adapters.xapi_session import XapiSession
from services.hypervisor.domain.memory import IMPOSSIBLE, Cpu, HostCpu

_REFUSALS = {
    "LICENCE_RESTRICTION": "the pool's licence does not include checkpoints",
    "VM_BAD_POWER_STATE": "it does not run any more",
    "VM_LACKS_FEATURE": "its guest tools are missing or do not run",
    "VM_MISSING_PV_DRIVERS": "its guest tools are missing or do not run",
    "VM_NON_SUSPENDABLE": "its guest says that it cannot be suspended",
    "VM_FAILED_SUSPEND_ACKNOWLEDGMENT": "its guest did not acknowledge that it is to be suspended",
    "VM_SUSPEND_TIMEOUT": "its guest did not suspend in time",
    "VM_HAS_PCI_ATTACHED": "it uses a PCI device of its host",
    "VM_HAS_VGPU": "it uses a vGPU of its host",
    "VM_HAS_VUSBS": "it uses a USB device of its host",
    "VM_IS_USING_NESTED_VIRT": "it runs virtual machines of its own",
    "VM_NO_SUSPEND_SR": "the pool has no storage repository for suspend images",
    "SR_SUSPEND_SPACE_INSUFFICIENT": "the storage repository for suspend images has no room for its memory",
    "SR_OPERATION_NOT_SUPPORTED": "a storage repository of its disks cannot take snapshots",
    "OPERATION_BLOCKED": "somebody has blocked checkpoints of it",
}


async def take(session: XapiSession, vm_ref: str, name: str) -> str:
    """Reference of the snapshot. Raises FailedPrecondition MEMORY_IMPOSSIBLE, ResourceExhausted
    VM_MIGRATING."""
    try:
        return await xapi_taking.take(session, "VM.checkpoint", vm_ref, name)
    except XapiFailure as failure:
        if failure.code not in _REFUSALS:
            raise
        why = f"{_REFUSALS[failure.code]} (the pool says {failure.words})"
        raise FailedPrecondition(
            f"The VM's memory cannot be captured: {why}.",
            reason=IMPOSSIBLE,
            hint="Use another method, or let the policy prefer memory instead of requiring it.",
            metadata={"pool_code": failure.code, "why": why},
        ) from failure


async def image(objects: XapiObjects, vm: Record) -> tuple[str, Record] | None:
    """The suspend image (reference, record) of a suspended VM or a checkpoint."""
    if vm["power_state"] != "Suspended":
        return None
    record = await objects.record("VDI", vm["suspend_VDI"])
    return (str(vm["suspend_VDI"]), record) if record is not None else None


def cpu(vm: Record) -> Cpu:
    """What the VM's processor was when it booted last."""
    flags = vm.get("last_boot_CPU_flags", {})
    domain = vm.get("domain_type", "unspecified")
    hvm = domain != "pv" if domain != "unspecified" else bool(vm.get("HVM_boot_policy"))
    return Cpu(flags.get("vendor", ""), flags.get("features", ""), hvm)


async def host_cpus(session: XapiSession) -> tuple[HostCpu, ...]:
    """Of the hosts that are alive and enabled. Where a host tells what it offers to VMs that come with their
    memory apart from what it offers to VMs that start, that counts."""
    metrics = await session.call("host_metrics.get_all_records")
    found = []
    for host in (await session.call("host.get_all_records")).values():
        if not host["enabled"] or not metrics.get(host["metrics"], {}).get("live"):
            continue
        info = host.get("cpu_info", {})
        found.append(
            HostCpu(
                host_id=host["uuid"],
                display_name=host["name_label"],
                vendor=info.get("vendor", ""),
                features_hvm=info.get("features_hvm_host") or info.get("features_hvm", ""),
                features_pv=info.get("features_pv_host") or info.get("features_pv", ""),
            )
        )
    return tuple(found)
