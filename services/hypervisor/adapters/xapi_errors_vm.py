"""Error codes about VMs and what they are made of (xapi: ocaml/idl/datamodel_errors.ml)."""

from services.chassis.errors import (
    Aborted,
    AlreadyExists,
    DeadlineExceeded,
    FailedPrecondition,
    ResourceExhausted,
)
from services.hypervisor.adapters.xapi_error_row import LATER, RETRY, TOOLS, Row


def _cannot(reason: str, message: str, hint: str) -> Row:
    return Row(FailedPrecondition, reason, message, hint)


_SNAPSHOTS = "Remove snapshots of the VM that are no longer needed."
_HARDWARE = "Take the device off the VM, or use the method normal or offline."
_ELSEWHERE = "Start it on another host, or change what the VM needs."
_DISKS = "Attach the storage repository, or remove the disk from the VM."

VM_ERRORS: dict[str, Row] = {
    "VM_IS_TEMPLATE": _cannot("VM_IS_TEMPLATE", "It is a template and not a VM.", "Choose a VM."),
    "VM_IS_SNAPSHOT": _cannot("VM_IS_SNAPSHOT", "It is a snapshot and not a VM.", "Choose a VM."),
    "VM_IS_IMMOBILE": _cannot(
        "VM_IS_IMMOBILE",
        "The VM is bound to its host by its hardware.",
        "Take passed-through devices off it.",
    ),
    "VM_IS_PROTECTED": _cannot(
        "VM_HA_PROTECTED",
        "High availability protects the VM and forbids this.",
        "Take it out of high availability for the time being.",
    ),
    "VM_IS_USING_NESTED_VIRT": _cannot(
        "VM_NESTED", "The VM runs VMs itself, which cannot be suspended.", "Use the method normal or offline."
    ),
    "VM_HAS_PCI_ATTACHED": _cannot("VM_HAS_PCI", "The VM has a passed-through PCI device.", _HARDWARE),
    "VM_HAS_VGPU": _cannot("VM_HAS_VGPU", "The VM has a virtual GPU.", _HARDWARE),
    "VM_HAS_SRIOV_VIF": _cannot("VM_HAS_SRIOV", "The VM has an SR-IOV network interface.", _HARDWARE),
    "VM_HAS_CHECKPOINT": _cannot(
        "VM_HAS_CHECKPOINT",
        "The VM has a snapshot with memory that stands in the way.",
        "Remove the snapshots with memory of the VM.",
    ),
    "VM_HAS_TOO_MANY_SNAPSHOTS": _cannot(
        "DISK_CHAIN_TOO_LONG", "The VM has as many snapshots as the pool allows.", _SNAPSHOTS
    ),
    "VM_HAS_NO_SUSPEND_VDI": _cannot(
        "SUSPEND_IMAGE_MISSING",
        "The memory of the suspended VM is missing.",
        "Reset its power state and start it; its disks are as after a power cut.",
    ),
    "SUSPEND_IMAGE_NOT_ACCESSIBLE": _cannot(
        "SUSPEND_IMAGE_MISSING",
        "No host that can run the VM sees its memory image.",
        "Attach the storage repository of the image on that host.",
    ),
    "VM_NO_SUSPEND_SR": _cannot(
        "NO_SUSPEND_SR",
        "There is no storage repository for the memory of the VM.",
        "Set the suspend storage repository of the VM, its host or the pool.",
    ),
    "VM_NON_SUSPENDABLE": _cannot(
        "VM_NON_SUSPENDABLE", "The VM cannot be suspended: {0}.", "Use the method normal or offline."
    ),
    "VM_MISSING_PV_DRIVERS": _cannot(
        "VM_WITHOUT_TOOLS", "The VM has no paravirtual drivers, or they do not run.", TOOLS
    ),
    "VM_OLD_PV_DRIVERS": _cannot(
        "VM_TOOLS_TOO_OLD", "The VM's paravirtual drivers ({0}.{1}) are too old.", "Update the guest tools."
    ),
    "VM_PV_DRIVERS_IN_USE": _cannot("VM_TOOLS_BUSY", "The VM uses its paravirtual drivers.", RETRY),
    "VM_FAILED_SHUTDOWN_ACKNOWLEDGMENT": _cannot(
        "SHUTDOWN_REFUSED",
        "The guest did not react to the request to shut down.",
        "Look at the guest and its tools, or let the policy switch it off.",
    ),
    "VM_SHUTDOWN_TIMEOUT": Row(
        DeadlineExceeded,
        "SHUTDOWN_TIMEOUT",
        "The guest did not shut down within {0} seconds.",
        "Give it more time, or let the policy switch it off.",
    ),
    "VM_FAILED_SUSPEND_ACKNOWLEDGMENT": _cannot(
        "SUSPEND_REFUSED", "The guest did not react to the request to suspend.", TOOLS
    ),
    "VM_SUSPEND_TIMEOUT": Row(
        DeadlineExceeded,
        "SUSPEND_TIMEOUT",
        "The guest was not suspended within {0} seconds.",
        "Use the method normal or offline, or look at the load of the storage.",
    ),
    "VM_CHECKPOINT_SUSPEND_FAILED": _cannot(
        "CHECKPOINT_FAILED", "The VM could not be suspended for its snapshot with memory.", TOOLS
    ),
    "VM_CHECKPOINT_RESUME_FAILED": _cannot(
        "CHECKPOINT_FAILED",
        "The VM did not go on after its snapshot with memory.",
        "Look at the VM at once: it may be suspended.",
    ),
    "VM_CRASHED": Row(
        Aborted, "VM_CRASHED", "The VM crashed meanwhile.", "Look at the guest, and start the backup again."
    ),
    "VM_REBOOTED": Row(Aborted, "VM_REBOOTED", "The VM rebooted meanwhile.", "Try again."),
    "VM_HALTED": Row(Aborted, "VM_HALTED", "The VM was shut down meanwhile.", "Try again."),
    "VM_NOT_RESIDENT_HERE": Row(Aborted, "VM_MOVED", "The VM moved to another host meanwhile.", "Try again."),
    "VM_MIGRATE_FAILED": Row(Aborted, "VM_MIGRATION", "A migration of the VM failed: {0}.", RETRY),
    "VMS_FAILED_TO_COOPERATE": Row(
        ResourceExhausted,
        "NO_MEMORY",
        "Other VMs did not give memory back in time.",
        "Free memory on a host.",
    ),
    "BALLOONING_TIMEOUT_BEFORE_MIGRATION": Row(
        Aborted, "VM_MIGRATION", "The VM did not give memory back before its migration.", RETRY
    ),
    "VM_MEMORY_SIZE_TOO_LOW": _cannot(
        "VM_CONFIGURATION", "The VM has too little memory to start.", "Give the VM more memory."
    ),
    "VM_NO_VCPUS": _cannot("VM_CONFIGURATION", "The VM has no virtual CPU.", "Give the VM a virtual CPU."),
    "VM_TOO_MANY_VCPUS": _cannot(
        "VM_CONFIGURATION", "The VM has more virtual CPUs than its host allows.", _ELSEWHERE
    ),
    "HOST_NOT_ENOUGH_PCPUS": _cannot(
        "NO_HOST", "The VM has {0} virtual CPUs and the host {1} physical ones.", _ELSEWHERE
    ),
    "VCPU_MAX_NOT_CORES_PER_SOCKET_MULTIPLE": _cannot(
        "VM_CONFIGURATION",
        "The VM's {0} virtual CPUs are no multiple of its {1} cores per socket.",
        "Correct the VM's CPUs.",
    ),
    "VM_HVM_REQUIRED": _cannot(
        "NO_HOST", "The VM needs hardware virtualisation, which the host does not offer.", _ELSEWHERE
    ),
    "VM_INCOMPATIBLE_WITH_THIS_HOST": _cannot(
        "NO_HOST",
        "The VM cannot run on the host: its CPU lacks features the VM was started with.",
        "Choose another host, or restore it without its memory.",
    ),
    "VM_HOST_INCOMPATIBLE_VERSION": _cannot(
        "NO_HOST", "The host runs a release that is too old for the VM.", "Update the host or choose another."
    ),
    "VM_HOST_INCOMPATIBLE_VERSION_MIGRATE": _cannot(
        "NO_HOST", "The host runs a release that is too old for the VM.", "Update the host or choose another."
    ),
    "VM_HOST_INCOMPATIBLE_VIRTUAL_HARDWARE_PLATFORM_VERSION": _cannot(
        "NO_HOST",
        "The host does not offer the virtual hardware the VM needs.",
        "Update the host or choose another.",
    ),
    "VM_REQUIRES_SR": _cannot(
        "NO_HOST", "The host does not see a storage repository of the VM.", "Plug it in on that host."
    ),
    "VM_REQUIRES_VDI": _cannot("DISK_MISSING", "A disk of the VM is not available.", _DISKS),
    "VM_REQUIRES_NETWORK": _cannot(
        "NO_HOST",
        "The host does not see a network of the VM.",
        "Connect the network there, or choose another host.",
    ),
    "VM_REQUIRES_GPU": _cannot("NO_HOST", "No host has the GPU the VM needs.", _ELSEWHERE),
    "VM_REQUIRES_VGPU": _cannot("NO_HOST", "No host has the virtual GPU the VM needs.", _ELSEWHERE),
    "VM_REQUIRES_VUSB": _cannot("NO_HOST", "No host has the USB device the VM needs.", _ELSEWHERE),
    "VM_REQUIRES_IOMMU": _cannot(
        "NO_HOST", "The host offers no IOMMU, which a device of the VM needs.", _ELSEWHERE
    ),
    "VGPU_TYPE_NOT_SUPPORTED": _cannot("NO_HOST", "No GPU of the host offers the VM's type.", _ELSEWHERE),
    "VGPU_TYPE_NO_LONGER_SUPPORTED": _cannot(
        "NO_HOST", "The pool no longer offers the VM's type of GPU.", "Give the VM another type of GPU."
    ),
    "VGPU_SUSPENSION_NOT_SUPPORTED": _cannot(
        "VM_HAS_VGPU", "The VM's GPU cannot be suspended: {0}.", "Use the method normal or offline."
    ),
    "NO_COMPATIBLE_CLUSTER_HOST": _cannot("NO_HOST", "No host of the cluster can do this.", LATER),
    "VM_REVERT_FAILED": _cannot(
        "VM_REVERT_FAILED",
        "The VM could not be reverted to its snapshot.",
        "Look at its disks and snapshots.",
    ),
    "VM_IS_PART_OF_AN_APPLIANCE": _cannot(
        "VM_IN_APPLIANCE", "The VM is part of a vApp.", "Act on the vApp, or take the VM out of it."
    ),
    "VM_ASSIGNED_TO_SNAPSHOT_SCHEDULE": _cannot(
        "VM_IN_SCHEDULE", "The VM is part of a snapshot schedule.", "Take it out of the schedule."
    ),
    "VM_DUPLICATE_VBD_DEVICE": _cannot(
        "VM_CONFIGURATION", "Two disks of the VM have the same position {0}.", "Correct the VM's disks."
    ),
    "VM_BIOS_STRINGS_ALREADY_SET": _cannot(
        "VM_CONFIGURATION", "The VM's BIOS strings are set already.", "Restore as a new VM."
    ),
    "VM_UNSAFE_BOOT": _cannot(
        "VM_CONFIGURATION",
        "A disk of the VM does not survive a start: it is reset at every boot.",
        "Look at the boot mode of the VM's disks.",
    ),
    "DUPLICATE_VM": Row(
        AlreadyExists,
        "VM_EXISTS",
        "The VM is in the pool already.",
        "Restore over the original, or as a new VM.",
    ),
    "BOOTLOADER_FAILED": _cannot(
        "VM_DOES_NOT_BOOT",
        "The boot loader failed: {0}.",
        "Look at the VM's boot settings and its first disk.",
    ),
    "UNKNOWN_BOOTLOADER": _cannot(
        "VM_DOES_NOT_BOOT", "The pool does not know the boot loader {0}.", "Change the VM's boot settings."
    ),
    "DOMAIN_BUILDER_ERROR": _cannot(
        "VM_DOES_NOT_BOOT", "The host could not build the VM ({0}).", "Look into the host's log."
    ),
    "FAILED_TO_START_EMULATOR": _cannot(
        "VM_DOES_NOT_BOOT", "The host could not start the VM's {0}.", "Look into the host's log."
    ),
    "DISK_VBD_MUST_BE_READWRITE_FOR_HVM": _cannot(
        "VM_CONFIGURATION", "A disk of the VM is attached read-only.", "Attach it writable."
    ),
    "BOOT_DEVICE_PASSTHROUGH_DISALLOWED": _cannot(
        "VM_CONFIGURATION", "The VM has a device that may not be passed through.", "Take it off the VM."
    ),
    "MEMORY_CONSTRAINT_VIOLATION": _cannot(
        "VM_CONFIGURATION",
        "The VM's memory limits do not fit one another.",
        "Correct the VM's memory limits.",
    ),
    "MEMORY_CONSTRAINT_VIOLATION_ORDER": _cannot(
        "VM_CONFIGURATION", "The VM's memory limits are out of order.", "Correct the VM's memory limits."
    ),
    "FEATURE_REQUIRES_HVM": _cannot(
        "VM_CONFIGURATION", "The VM would need hardware virtualisation for this.", "Change the VM's type."
    ),
    "VTPM_MAX_AMOUNT_REACHED": _cannot(
        "VM_CONFIGURATION", "The VM has as many virtual TPMs as it may have.", "Remove its virtual TPM first."
    ),
    "MAC_INVALID": _cannot(
        "MAC_INVALID", "The pool refuses the MAC address {0}.", "Restore without the old MAC addresses."
    ),
    "INVALID_DEVICE": _cannot(
        "VM_CONFIGURATION", "The pool refuses the position {0}.", "Look at the devices of the VM."
    ),
    "DEVICE_ALREADY_EXISTS": _cannot(
        "VM_CONFIGURATION", "The VM has a device at position {0} already.", "Look at the devices of the VM."
    ),
    "XAPI_HOOK_FAILED": _cannot(
        "POOL_HOOK_FAILED", "A script of the pool ({0}) forbids it: {1}.", "Look at that script on the host."
    ),
}
