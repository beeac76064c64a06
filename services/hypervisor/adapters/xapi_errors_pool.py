"""Error codes about pools, hosts, accounts and the interface (xapi: ocaml/idl/datamodel_errors.ml)."""

from services.chassis.errors import (
    Aborted,
    FailedPrecondition,
    InvalidInput,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
)
from services.hypervisor.adapters.xapi_error_row import LATER, RETRY, Row

_RENEW = "Update Xenkeep, or the pool, so that both know each other."
_LICENCE = "Use a method that does not need it, or change the licence."


def _away(message: str) -> Row:
    return Row(Unavailable, "HOST_OFFLINE", message, LATER)


def _cannot(reason: str, message: str, hint: str) -> Row:
    return Row(FailedPrecondition, reason, message, hint)


POOL_ERRORS: dict[str, Row] = {
    "SESSION_AUTHORIZATION_FAILED": Row(
        PermissionDenied,
        "POOL_RIGHT_MISSING",
        "The account has no role in the pool.",
        "Give it the role vm-power-admin.",
    ),
    "SESSION_INVALID": Row(Unavailable, "POOL_SESSION_LOST", "The login to the pool ended meanwhile.", LATER),
    "AUTH_SERVICE_ERROR": Row(
        Unavailable,
        "POOL_DIRECTORY_SILENT",
        "The pool's directory service failed: {0}.",
        "Look at the directory.",
    ),
    "AUTH_IS_DISABLED": Row(
        Unauthenticated,
        "POOL_CREDENTIALS_REFUSED",
        "The pool knows local accounts only.",
        "Use a local account, or join the pool to its directory.",
    ),
    "USER_IS_NOT_LOCAL_SUPERUSER": Row(
        PermissionDenied,
        "POOL_RIGHT_MISSING",
        "Only the local superuser may do this.",
        "Add the pool with the account root.",
    ),
    "PERMISSION_DENIED": Row(
        PermissionDenied,
        "POOL_RIGHT_MISSING",
        "The pool does not let the account do this.",
        "Give it the role vm-power-admin or add the pool again with another account.",
    ),
    "HOST_DISABLED": _cannot(
        "HOST_DISABLED", "The host is in maintenance.", "Enable the host, or let another one do it."
    ),
    "HOST_DISABLED_UNTIL_REBOOT": _cannot(
        "HOST_DISABLED", "The host is in maintenance until it reboots.", "Reboot the host."
    ),
    "HOST_DISABLED_INDEFINITELY": _cannot(
        "HOST_DISABLED", "The host is in maintenance until a person enables it.", "Enable the host."
    ),
    "HOST_STILL_BOOTING": _away("The host is still booting."),
    "HOST_BROKEN": _away("The host cannot reach its pool."),
    "HOST_IN_EMERGENCY_MODE": _away("The host has lost its coordinator."),
    "HOST_UNKNOWN_TO_MASTER": _away("The coordinator does not know the host."),
    "HOST_MASTER_CANNOT_TALK_BACK": _away("The coordinator cannot reach the host."),
    "HOST_ITS_OWN_SLAVE": _away("The host looks for its coordinator at its own address."),
    "HOST_IS_SLAVE": _away("The host does not lead the pool any more."),
    "HOST_HAS_NO_MANAGEMENT_IP": _away("The host has no management address."),
    "HOST_IS_LIVE": _cannot(
        "HOST_LIVE", "The host is alive, and its VMs with it.", "Act on the VM in the ordinary way."
    ),
    "HOST_EVACUATE_IN_PROGRESS": Row(Aborted, "POOL_BUSY", "A host is being evacuated.", RETRY),
    "HOST_CANNOT_ATTACH_NETWORK": _cannot(
        "NO_HOST", "The host cannot connect a network of the VM.", "Connect the network there."
    ),
    "INTERFACE_HAS_NO_IP": _cannot(
        "NETWORK_WITHOUT_ADDRESS", "The network interface {0} has no address.", "Give it one."
    ),
    "NETWORK_UNMANAGED": _cannot(
        "NETWORK_UNMANAGED", "The pool does not manage the network.", "Choose another network."
    ),
    "HA_OPERATION_WOULD_BREAK_FAILOVER_PLAN": _cannot(
        "HA_PLAN",
        "High availability could then not restart all VMs it protects.",
        "Free memory, or take VMs out of high availability.",
    ),
    "HA_NO_PLAN": _cannot(
        "HA_PLAN", "High availability has no plan.", "Look at the pool's high availability."
    ),
    "HA_NOT_ENABLED": _cannot("HA_OFF", "High availability is off.", "Switch it on, or do without."),
    "HA_IS_ENABLED": _cannot("HA_ON", "High availability is on.", "Switch it off for the time being."),
    "HA_CONSTRAINT_VIOLATION_SR_NOT_SHARED": _cannot(
        "HA_PLAN",
        "High availability cannot protect a VM with a disk on local storage.",
        "Restore to shared storage, or without high availability.",
    ),
    "HA_CONSTRAINT_VIOLATION_NETWORK_NOT_SHARED": _cannot(
        "HA_PLAN",
        "High availability cannot protect a VM on a network that one host has.",
        "Use a network of the pool, or do without high availability.",
    ),
    "LICENSE_EXPIRED": _cannot("POOL_UNLICENSED", "The pool's licence has expired.", "Renew the licence."),
    "LICENSE_DOES_NOT_SUPPORT_POOLING": _cannot(
        "POOL_UNLICENSED", "The licence does not include pools.", _LICENCE
    ),
    "LICENSE_RESTRICTION": _cannot("POOL_UNLICENSED", "The pool's licence does not include {0}.", _LICENCE),
    "NOT_SUPPORTED_DURING_UPGRADE": Row(
        Unavailable, "POOL_UPGRADING", "The pool is being upgraded.", "Wait until all hosts run one release."
    ),
    "TOO_BUSY": Row(Unavailable, "POOL_BUSY", "The pool is too busy.", LATER),
    "TOO_MANY_STORAGE_MIGRATES": Row(
        ResourceExhausted, "POOL_BUSY", "The pool moves {0} disks at once already.", RETRY
    ),
    "OBJECT_NOLONGER_EXISTS": Row(
        NotFound, "POOL_OBJECT_GONE", "An object of the pool is gone.", "Read the inventory again."
    ),
    "DB_UNIQUENESS_CONSTRAINT_VIOLATION": _cannot(
        "POOL_OBJECT_EXISTS", "The pool has a {0} with that {1} already.", "Restore as a new VM."
    ),
    "MAP_DUPLICATE_KEY": Row(
        Aborted, "POOL_OBJECT_CHANGED", "Somebody else has set {2} meanwhile.", "Try again."
    ),
    "INVALID_VALUE": Row(
        InvalidInput, "POOL_VALUE_REFUSED", "The pool refuses the value of {0}.", "Look at the VM's settings."
    ),
    "VALUE_NOT_SUPPORTED": Row(
        InvalidInput, "POOL_VALUE_REFUSED", "The pool refuses {1} for {0}: {2}.", "Look at the VM's settings."
    ),
    "FIELD_TYPE_ERROR": _cannot("POOL_SPEAKS_OTHERWISE", "The pool has another idea of {0}.", _RENEW),
    "MESSAGE_PARAMETER_COUNT_MISMATCH": _cannot(
        "POOL_SPEAKS_OTHERWISE", "The pool wants {1} and not {2} arguments for {0}.", _RENEW
    ),
    "MESSAGE_DEPRECATED": _cannot(
        "POOL_TOO_NEW", "The pool no longer offers a call we need.", "Update Xenkeep."
    ),
    "NOT_IMPLEMENTED": _cannot("POOL_CANNOT", "The pool does not offer {0}.", _RENEW),
    "XENAPI_MISSING_PLUGIN": _cannot(
        "POOL_PLUGIN_MISSING", "The hosts lack the plugin {0}.", "Install it on every host."
    ),
    "XENAPI_PLUGIN_FAILURE": _cannot(
        "POOL_PLUGIN_FAILED", "A plugin of the host failed: {0}.", "Look into the host's log."
    ),
    "BACKUP_SCRIPT_FAILED": _cannot(
        "HOST_BACKUP_FAILED", "The host could not back itself up.", "Look at the space on its own disk."
    ),
    "RESTORE_INCOMPATIBLE_VERSION": _cannot(
        "POOL_VERSION", "The pool database is of another release.", "Install that release first."
    ),
    "RESTORE_TARGET_MISSING_DEVICE": _cannot(
        "POOL_HARDWARE", "The host has no network device {0}.", "Restore to a host with the same devices."
    ),
    "RESTORE_TARGET_MGMT_IF_NOT_IN_BACKUP": _cannot(
        "POOL_HARDWARE",
        "The host's management interface is not in the pool database.",
        "Restore to a host with the same devices.",
    ),
    "COULD_NOT_IMPORT_DATABASE": _cannot(
        "POOL_DATABASE_REFUSED", "The pool database was refused: {0}.", "Try an older dump."
    ),
    "TLS_CONNECTION_FAILED": Row(
        Unavailable,
        "HOST_OFFLINE",
        "The pool could not connect to {0} by TLS.",
        "Look at that host's certificate.",
    ),
    "SSL_VERIFY_ERROR": _cannot(
        "POOL_CERTIFICATE",
        "The pool does not trust a certificate: {0}.",
        "Renew the certificates of its hosts.",
    ),
}
