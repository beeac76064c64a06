"""How a VM was captured, and what a person must know of it. The words are those of the contract."""

from dataclasses import dataclass
from enum import StrEnum


class Method(StrEnum):
    """How a VM is captured."""

    NORMAL = "normal"
    OFFLINE = "offline"
    MEMORY = "memory"
    QUIESCED = "quiesced"


class Level(StrEnum):
    """How much was read."""

    FULL = "full"
    INCREMENTAL = "incremental"


class FullReason(StrEnum):
    """Why a full was taken; NONE for an incremental."""

    NONE = "unspecified"
    REQUESTED = "requested"
    FIRST_BACKUP = "first_backup"
    TRACKING_UNSUPPORTED = "tracking_unsupported"
    TRACKING_UNLICENSED = "tracking_unlicensed"
    TRACKING_WAS_OFF = "tracking_was_off"
    TRACKING_LOST = "tracking_lost"
    BASE_SNAPSHOT_GONE = "base_snapshot_gone"
    BASE_POINT_UNUSABLE = "base_point_unusable"
    DISK_REPLACED = "disk_replaced"
    DISK_RESIZED = "disk_resized"
    SUSPEND_IMAGE = "suspend_image"
    TRACKING_UNTRUE = "tracking_untrue"


class DiskKind(StrEnum):
    """What a disk of a point holds: what the VM stores on it, the VM's memory, or what one of its own
    snapshots holds."""

    DATA = "unspecified"
    SUSPEND_IMAGE = "suspend_image"
    OWN_SNAPSHOT = "own_snapshot"


class Consistency(StrEnum):
    """What a restore point guarantees."""

    UNKNOWN = "unspecified"
    POWERED_OFF = "powered_off"
    MEMORY = "memory"
    APPLICATION = "application"
    FILESYSTEM = "filesystem"
    CRASH = "crash"


@dataclass(frozen=True, slots=True)
class GroupMoment:
    """The moment that points of ``vm_count`` VMs share; ``spread_ms`` is how far they lie apart at most."""

    group_id: str
    vm_count: int
    spread_ms: int


@dataclass(frozen=True, slots=True)
class Remark:
    """A downgrade, a skip, a fallback, a retry that helped: ``code`` is stable, ``message`` for a person."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Failure:
    """Why something failed, in the words of the error tree."""

    kind: str
    reason: str
    message: str
    hint: str = ""
