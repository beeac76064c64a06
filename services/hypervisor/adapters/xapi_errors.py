"""The one table that turns the pool's error codes into sentences with a way out."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from services.chassis.errors import (
    Aborted,
    FailedPrecondition,
    Internal,
    InvalidInput,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
    XenkeepError,
)
from services.hypervisor.adapters.xapi_error_row import LATER, RETRY, SPACE, Row
from services.hypervisor.adapters.xapi_errors_pool import POOL_ERRORS
from services.hypervisor.adapters.xapi_errors_storage import STORAGE_ERRORS
from services.hypervisor.adapters.xapi_errors_vm import VM_ERRORS
from services.hypervisor.adapters.xapi_rpc import XapiFailure

_TABLE: dict[str, Row] = {
    "SESSION_AUTHENTICATION_FAILED": Row(
        Unauthenticated,
        "POOL_CREDENTIALS_REFUSED",
        "The pool refused the user name or the password.",
        "Add the pool again with the right credentials.",
    ),
    "RBAC_PERMISSION_DENIED": Row(
        PermissionDenied,
        "POOL_RIGHT_MISSING",
        "The account on the pool lacks the right {0}.",
        "Give it the role vm-power-admin or add the pool again with another account.",
    ),
    "LICENCE_RESTRICTION": Row(
        FailedPrecondition,
        "POOL_UNLICENSED",
        "The pool's licence does not include {0}.",
        "Use a method that does not need it, or change the licence.",
    ),
    "HANDLE_INVALID": Row(
        NotFound,
        "POOL_OBJECT_GONE",
        "An object of the pool ({0}) is gone.",
        "Read the inventory again; it may just have been removed.",
    ),
    "UUID_INVALID": Row(
        NotFound,
        "POOL_OBJECT_UNKNOWN",
        "The pool has no {0} with the UUID {1}.",
        "Check the UUID against the inventory.",
    ),
    "VM_BAD_POWER_STATE": Row(
        FailedPrecondition,
        "VM_BAD_POWER_STATE",
        "The VM is in the wrong power state: {0} is needed, it is {1}.",
        "Change its power state and try again.",
    ),
    "OPERATION_BLOCKED": Row(
        FailedPrecondition,
        "VM_OPERATION_BLOCKED",
        "Somebody has blocked this operation on the VM: {0}.",
        "Remove the entry from the VM's blocked operations.",
    ),
    "OPERATION_NOT_ALLOWED": Row(
        FailedPrecondition,
        "POOL_OPERATION_NOT_ALLOWED",
        "The pool does not allow this: {0}.",
        "Look at the state of the VM and its disks in the pool.",
    ),
    "OTHER_OPERATION_IN_PROGRESS": Row(
        Aborted,
        "POOL_BUSY",
        "Another operation ({1}) is under way on a {0}.",
        RETRY,
    ),
    "TOO_MANY_PENDING_TASKS": Row(Unavailable, "POOL_BUSY", "The pool has too many pending tasks.", LATER),
    "VDI_IN_USE": Row(
        Aborted,
        "DISK_IN_USE",
        "A disk is in use by something else.",
        "Detach it from whatever uses it, or wait until that has ended.",
    ),
    "VDI_LOCATION_MISSING": Row(
        FailedPrecondition,
        "DISK_MISSING",
        "A disk of the VM's configuration is not on the pool ({0}).",
        "Restore all disks of the restore point.",
    ),
    "VDI_CONTENT_ID_MISSING": Row(
        FailedPrecondition,
        "DISK_MISSING",
        "A disk of the VM's configuration and its storage repository are not on the pool.",
        "Restore all disks of the restore point.",
    ),
    "VDI_IS_SHARABLE": Row(
        FailedPrecondition,
        "DISK_SHARABLE",
        "A sharable disk cannot be snapshotted.",
        "Detach it, or back up its contents in the guest.",
    ),
    "SR_FULL": Row(
        ResourceExhausted,
        "SR_FULL",
        "The storage repository is full.",
        SPACE,
    ),
    "SR_BACKEND_FAILURE_44": Row(
        ResourceExhausted,
        "SR_FULL",
        "The storage repository has not enough space.",
        SPACE,
    ),
    "SR_BACKEND_FAILURE_109": Row(
        FailedPrecondition,
        "DISK_CHAIN_TOO_LONG",
        "The disk has too many snapshots on top of one another.",
        "Remove snapshots of the VM and wait until its storage repository has coalesced them.",
    ),
    "SR_HAS_NO_PBDS": Row(
        FailedPrecondition,
        "SR_DETACHED",
        "The storage repository is not attached to any host.",
        "Plug it in on a live host.",
    ),
    "SR_OPERATION_NOT_SUPPORTED": Row(
        FailedPrecondition,
        "SR_CANNOT",
        "The storage repository cannot do this.",
        "Choose a storage repository of another type.",
    ),
    "NO_HOSTS_AVAILABLE": Row(
        FailedPrecondition,
        "NO_HOST",
        "No host of the pool can do this: none that is enabled sees all disks and has the memory.",
        "Enable a host, or plug in the storage repositories.",
    ),
    "HOST_NOT_ENOUGH_FREE_MEMORY": Row(
        ResourceExhausted,
        "NO_MEMORY",
        "No host has enough free memory for the VM.",
        "Free memory or start the VM by hand later.",
    ),
    "VM_TO_IMPORT_IS_NOT_NEWER_VERSION": Row(
        FailedPrecondition,
        "VM_EXISTS",
        "A VM with the original's UUID exists and was not replaced.",
        "Commit again; if it stays, restore as a new VM.",
    ),
    "DUPLICATE_MAC_SEED": Row(
        FailedPrecondition,
        "VM_COPY_EXISTS",
        "Another VM of the pool was made from the same VM and has its MAC seed.",
        "Restore as a new VM, or remove the other one.",
    ),
    "VM_HAS_VUSBS": Row(
        FailedPrecondition,
        "VM_HAS_USB",
        "A VM with a passed-through USB device cannot be snapshotted.",
        "Remove the USB device from the VM.",
    ),
    "VM_LACKS_FEATURE": Row(
        FailedPrecondition,
        "VM_WITHOUT_TOOLS",
        "The VM does not react: its guest tools are missing or do not run.",
        "Install or start the guest tools.",
    ),
    "HOST_OFFLINE": Row(Unavailable, "HOST_OFFLINE", "The host this goes through is offline.", LATER),
    "HOST_NOT_LIVE": Row(Unavailable, "HOST_OFFLINE", "The host this goes through is not live.", LATER),
    "CANNOT_CONTACT_HOST": Row(
        Unavailable, "HOST_OFFLINE", "The coordinator cannot reach the host this goes through.", LATER
    ),
    "IMPORT_INCOMPATIBLE_VERSION": Row(
        FailedPrecondition,
        "POOL_TOO_OLD",
        "The VM was backed up from a newer version than this pool runs.",
        "Update the pool or restore to a newer one.",
    ),
    "MESSAGE_METHOD_UNKNOWN": Row(
        FailedPrecondition,
        "POOL_TOO_OLD",
        "The pool does not know the call {0}.",
        "Update the pool to a supported version.",
    ),
    "MESSAGE_REMOVED": Row(
        FailedPrecondition, "POOL_TOO_NEW", "The pool no longer has a call we need.", "Update Xenkeep."
    ),
    "TASK_CANCELLED": Row(
        Aborted, "POOL_TASK_CANCELLED", "Somebody cancelled the operation in the pool.", "Start it again."
    ),
    "INTERNAL_ERROR": Row(
        Internal, "POOL_INTERNAL_ERROR", "The pool failed inside: {0}.", "Look into the coordinator's log."
    ),
    "FEATURE_RESTRICTED": Row(
        FailedPrecondition,
        "POOL_UNLICENSED",
        "The pool restricts {0}.",
        "Lift the restriction in the pool.",
    ),
    "NETWORK_INCOMPATIBLE_PURPOSES": Row(
        InvalidInput, "NETWORK_PURPOSE", "The purposes {0} and {1} exclude each other.", "Choose one."
    ),
}

_TABLE |= {
    code: Row(
        FailedPrecondition,
        "QUIESCE_IMPOSSIBLE",
        f"The guest was not quiesced ({code}).",
        "Look at the guest's tools and its VSS provider, or use another method.",
    )
    for code in (
        "VM_SNAPSHOT_WITH_QUIESCE_FAILED",
        "VM_SNAPSHOT_WITH_QUIESCE_TIMEOUT",
        "VM_SNAPSHOT_WITH_QUIESCE_PLUGIN_DEOS_NOT_RESPOND",
        "VM_SNAPSHOT_WITH_QUIESCE_NOT_SUPPORTED",
    )
}

_TABLE = VM_ERRORS | STORAGE_ERRORS | POOL_ERRORS | _TABLE

CODES = frozenset(_TABLE)
"""Every code that has a sentence of its own."""


def translated(failure: XapiFailure, doing: str) -> XenkeepError:
    """The error for people; ``doing`` is what we were about, as in "taking a snapshot of VM x"."""
    told = [param for param in failure.params if param and "OpaqueRef:" not in param]
    row = _TABLE.get(failure.code)
    metadata = {"pool_code": failure.code}
    if row is None:
        return FailedPrecondition(
            f"The pool refused {doing}: {failure.words}.",
            reason="POOL_REFUSED",
            hint="The code is XenServer's own; its documentation and the coordinator's log say more.",
            metadata=metadata,
        )
    message = _filled(row.message, told)
    return row.kind(
        f"{doing[0].upper()}{doing[1:]} failed. {message}",
        reason=row.reason,
        hint=row.hint,
        metadata=metadata,
    )


def _filled(template: str, told: list[str]) -> str:
    return re.sub(r"\{(\d)\}", lambda m: told[int(m[1])] if int(m[1]) < len(told) else "?", template)


@contextmanager
def translating(doing: str) -> Iterator[None]:
    """Turns what the pool refuses inside into an error for people."""
    try:
        yield
    except XapiFailure as failure:
        raise translated(failure, doing) from failure
