"""Error codes about disks and storage (xapi: ocaml/idl/datamodel_errors.ml; sm: libs/sm/core/xs_errors)."""

from services.chassis.errors import (
    Aborted,
    AlreadyExists,
    DataLoss,
    DeadlineExceeded,
    FailedPrecondition,
    InvalidInput,
    ResourceExhausted,
    Unavailable,
)
from services.hypervisor.adapters.xapi_error_row import LATER, RETRY, SPACE, Row

_LOG = "Look into SMlog on the host that has the storage repository."


def _cannot(reason: str, message: str, hint: str) -> Row:
    return Row(FailedPrecondition, reason, message, hint)


STORAGE_ERRORS: dict[str, Row] = {
    "VDI_MISSING": _cannot(
        "DISK_MISSING", "The storage repository does not find a disk.", "Scan the storage repository."
    ),
    "VDI_NOT_AVAILABLE": Row(Unavailable, "DISK_UNAVAILABLE", "A disk is not available now.", RETRY),
    "VDI_NOT_MANAGED": _cannot(
        "DISK_INTERNAL", "It is an image of the storage repository's own, not a disk.", "Choose a disk."
    ),
    "VDI_INCOMPATIBLE_TYPE": _cannot(
        "DISK_TYPE", "This cannot be done to a disk of the type {0}.", "Choose a disk of a VM."
    ),
    "VDI_READONLY": _cannot("DISK_READONLY", "A disk is read-only.", "Make it writable, or choose another."),
    "VDI_TOO_LARGE": _cannot(
        "DISK_TOO_LARGE",
        "A disk is larger than its storage repository or format takes.",
        "Choose a storage repository that takes larger disks.",
    ),
    "VDI_TOO_SMALL": _cannot("DISK_TOO_SMALL", "A disk is smaller than is needed.", "Choose a larger disk."),
    "VDI_CBT_ENABLED": _cannot(
        "TRACKING_IN_THE_WAY",
        "Changed block tracking of a disk forbids this.",
        "Switch tracking of the disk off; its next backup reads all of it.",
    ),
    "VDI_NO_CBT_METADATA": _cannot(
        "TRACKING_LOST",
        "Changed blocks of a snapshot are not known.",
        "The next backup reads the whole disk.",
    ),
    "VDI_ON_BOOT_MODE_INCOMPATIBLE_WITH_OPERATION": _cannot(
        "DISK_RESET_AT_BOOT",
        "A disk of the VM is reset at every boot.",
        "Change its boot mode, or leave it out of the backup.",
    ),
    "VDI_IS_A_PHYSICAL_DEVICE": _cannot(
        "DISK_PHYSICAL", "A disk is a physical device.", "Leave it out of the backup."
    ),
    "VDI_IS_ENCRYPTED": _cannot(
        "DISK_ENCRYPTED",
        "The pool has encrypted a disk and cannot do this to it.",
        "Leave it out of the backup.",
    ),
    "VDI_NOT_SPARSE": _cannot("DISK_NOT_SPARSE", "A disk is not sparse.", "Leave it out of the backup."),
    "VDI_COPY_FAILED": Row(Aborted, "DISK_COPY_FAILED", "A disk could not be copied.", _LOG),
    "VDI_IO_ERROR": Row(
        DataLoss,
        "DISK_IO_ERROR",
        "A disk could not be read or written.",
        "Look at the storage and its cables; SMlog of the host says more.",
    ),
    "VDI_NOT_IN_MAP": _cannot(
        "DISK_MISSING", "A disk of the VM has no place to go.", "Name one for each disk."
    ),
    "MIRROR_FAILED": Row(Aborted, "DISK_MIRROR_FAILED", "The mirroring of a disk broke.", RETRY),
    "OUT_OF_SPACE": Row(
        ResourceExhausted,
        "HOST_DISK_FULL",
        "There is no space left at {0}.",
        "Free space on the host's own disk.",
    ),
    "SR_NOT_ATTACHED": _cannot(
        "SR_DETACHED", "The storage repository is not attached.", "Plug it in on a live host."
    ),
    "SR_ATTACH_FAILED": _cannot("SR_DETACHED", "The storage repository could not be attached.", _LOG),
    "SR_UNHEALTHY": _cannot(
        "SR_UNHEALTHY",
        "The storage repository is not healthy ({0}).",
        "Mend it as the pool says, and try again.",
    ),
    "SR_REQUIRES_UPGRADE": _cannot(
        "SR_TOO_OLD", "The storage repository has to be upgraded first.", "Upgrade it, or choose another one."
    ),
    "SR_UNKNOWN_DRIVER": _cannot(
        "SR_CANNOT", "The pool has no driver for storage of the type {0}.", "Install the driver."
    ),
    "SR_SOURCE_SPACE_INSUFFICIENT": Row(
        ResourceExhausted, "SR_FULL", "The storage repository has not enough space.", SPACE
    ),
    "SR_SUSPEND_SPACE_INSUFFICIENT": Row(
        ResourceExhausted,
        "SR_FULL",
        "The storage repository has not enough space for the VM's memory.",
        "Free space on it, or set another suspend storage repository.",
    ),
    "SR_VDI_LOCKING_FAILED": Row(Aborted, "POOL_BUSY", "The storage repository is locked.", RETRY),
    "SR_DEVICE_IN_USE": _cannot(
        "SR_DEVICE_IN_USE", "The device of the storage repository is in use.", "Find out what uses it."
    ),
    "SR_DOES_NOT_SUPPORT_MIGRATION": _cannot(
        "SR_CANNOT", "Disks of the storage repository cannot be moved.", "Choose another storage repository."
    ),
    "SM_PLUGIN_COMMUNICATION_FAILURE": Row(
        Unavailable, "SR_SILENT", "The storage manager does not answer.", _LOG
    ),
    "CLUSTERED_SR_DEGRADED": Row(
        Unavailable, "SR_DEGRADED", "The cluster of the storage repository is incomplete.", LATER
    ),
    "UNIMPLEMENTED_IN_SM_BACKEND": _cannot(
        "SR_CANNOT", "The storage manager cannot do this: {0}.", "Choose another storage repository."
    ),
    "DEFAULT_SR_NOT_FOUND": _cannot(
        "NO_SR", "The pool's default storage repository is missing.", "Name a storage repository of the pool."
    ),
    "LOCATION_NOT_UNIQUE": Row(
        AlreadyExists, "DISK_EXISTS", "The storage repository has a disk of that name already.", _LOG
    ),
    "DEVICE_DETACH_REJECTED": Row(
        Aborted, "DISK_IN_USE", "The guest did not let a disk go.", "Unmount the disk in the guest."
    ),
    "DEVICE_DETACH_TIMEOUT": Row(
        DeadlineExceeded, "DISK_IN_USE", "A disk was not let go in time.", "Unmount the disk in the guest."
    ),
    "DEVICE_ATTACH_TIMEOUT": Row(
        DeadlineExceeded, "DISK_ATTACH_TIMEOUT", "A disk was not attached in time.", LATER
    ),
    "DEVICE_ALREADY_ATTACHED": Row(Aborted, "DISK_IN_USE", "A disk is attached already.", RETRY),
    "VBD_NOT_UNPLUGGABLE": Row(Aborted, "DISK_IN_USE", "A disk cannot be detached now.", RETRY),
    "VBD_CDS_MUST_BE_READONLY": _cannot(
        "VM_CONFIGURATION", "A CD drive of the VM is writable.", "Correct the VM's drives."
    ),
    "IMPORT_ERROR": _cannot(
        "IMPORT_REFUSED", "The pool refused the VM: {0}.", "Look into the coordinator's log."
    ),
    "IMPORT_ERROR_GENERIC": _cannot(
        "IMPORT_REFUSED", "The pool refused the VM: {0}.", "Look into the coordinator's log."
    ),
    "IMPORT_ERROR_PREMATURE_EOF": Row(
        Aborted, "IMPORT_CUT", "The VM's description did not arrive completely.", "Try again."
    ),
    "IMPORT_ERROR_ATTACHED_DISKS_NOT_FOUND": _cannot(
        "DISK_MISSING", "Disks of the VM are not on the pool.", "Restore all disks of the restore point."
    ),
    "IMPORT_ERROR_FAILED_TO_FIND_OBJECT": _cannot(
        "IMPORT_REFUSED",
        "The VM's description names something the pool does not have.",
        "Choose another point, or restore its disks and make the VM by hand.",
    ),
    "IMPORT_ERROR_SOME_CHECKSUMS_FAILED": Row(
        DataLoss, "IMPORT_DAMAGED", "The VM arrived damaged.", "Verify the repository, and restore again."
    ),
    "IMPORT_ERROR_UNEXPECTED_FILE": Row(
        InvalidInput,
        "IMPORT_REFUSED",
        "The VM's description has a part that does not belong there.",
        "Choose another point.",
    ),
    "SR_BACKEND_FAILURE": _cannot("SR_FAILED", "The storage manager failed: {0}.", _LOG),
    "SR_BACKEND_FAILURE_24": Row(
        Aborted, "DISK_IN_USE", "The storage manager says that a disk is in use.", RETRY
    ),
    "SR_BACKEND_FAILURE_46": Row(
        Aborted,
        "DISK_UNAVAILABLE",
        "The storage manager says that a disk is not available.",
        "Find out on which host it is still attached; a dead host may hold it.",
    ),
    "SR_BACKEND_FAILURE_47": _cannot("SR_DETACHED", "The storage manager finds the storage gone.", _LOG),
    "SR_BACKEND_FAILURE_66": _cannot(
        "DISK_FORMAT_UNKNOWN",
        "The storage manager does not make images of the format this disk needs.",
        "Choose a storage repository that makes QCOW2 images.",
    ),
    "SR_BACKEND_FAILURE_73": _cannot(
        "SR_DETACHED", "The storage manager cannot mount the NFS share.", "Look at the NFS server."
    ),
    "SR_BACKEND_FAILURE_79": _cannot(
        "DISK_TOO_LARGE",
        "The storage manager refuses a disk of this size.",
        "Choose another storage repository.",
    ),
    "SR_BACKEND_FAILURE_80": _cannot("DISK_FAILED", "The storage manager could not make the disk.", _LOG),
    "SR_BACKEND_FAILURE_82": _cannot(
        "SNAPSHOT_FAILED", "The storage manager failed to snapshot a disk.", _LOG
    ),
    "SR_BACKEND_FAILURE_460": _cannot(
        "TRACKING_LOST",
        "The storage manager cannot tell what changed.",
        "The next backup reads the whole disk.",
    ),
}
