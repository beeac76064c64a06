"""Restore targets: a VM being put back.

PREPARING -> PREPARED -> COMMITTING -> COMMITTED, or ABORTING -> ABORTED, each stored before it is acted on.
Killed at any step, preparing, committing or aborting again with the same id goes on from there.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from services.hypervisor.domain.notice import Notice


class TargetState(Enum):
    PREPARING = "PREPARING"
    PREPARED = "PREPARED"
    COMMITTING = "COMMITTING"
    COMMITTED = "COMMITTED"
    ABORTING = "ABORTING"
    ABORTED = "ABORTED"


class Mode(Enum):
    """Names as in the contract."""

    NEW_VM = "NEW_VM"
    ORIGINAL = "ORIGINAL"


class RestoredMemory(Enum):
    """What becomes of the memory in a point; names as in the contract."""

    UNSPECIFIED = "UNSPECIFIED"
    WITH = "WITH"
    WITHOUT = "WITHOUT"


@dataclass(frozen=True)
class Placement:
    """How the VM is put back; empty ``sr`` and ``vm_display_name`` mean as it was. ``own_snapshot_id`` is the
    snapshot of the VM's own that it is made from, empty for none."""

    pool_id: str
    sr: str
    mode: Mode
    vm_display_name: str
    keep_mac_addresses: bool
    start: bool
    key_material: bool = False
    memory: RestoredMemory = RestoredMemory.UNSPECIFIED
    own_snapshot_id: str = ""


@dataclass(frozen=True)
class TargetDisk:
    """A disk to write. ``new_disk_id`` is the VDI made for it, ``ticket`` the pool's task for writing it.

    ``written`` is noted as soon as the pool says so, because it forgets finished tasks after 65 minutes
    (xapi: ocaml/xapi/db_gc_util.ml).
    """

    disk_id: str
    size_bytes: int
    display_name: str
    sr_id: str = ""
    new_disk_id: str = ""
    ticket: str = ""
    written: bool = False


@dataclass(frozen=True)
class Target:
    """One restore target. ``disks_to_remove`` are the original's disks that the commit replaces,
    ``gpus_left_out`` the UUIDs of virtual GPUs that the pool cannot give."""

    target_id: str
    placement: Placement
    state: TargetState
    created: datetime
    disks: tuple[TargetDisk, ...]
    original_vm_id: str
    disks_to_remove: tuple[str, ...] = ()
    replacing: bool = False
    vm_id: str = ""
    notices: tuple[Notice, ...] = ()
    gpus_left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class AttachedDisk:
    """A disk of an existing VM, by UUID and device."""

    disk_id: str
    device: str
    display_name: str


def replaced_disks(
    attached: tuple[AttachedDisk, ...], point_disk_ids: frozenset[str], point_devices: frozenset[str]
) -> tuple[tuple[str, ...], tuple[Notice, ...]]:
    """Which disks of the original a restore over it replaces, and notices about those it leaves.

    Replaced is what the restore point has: the same disk, or another disk in the same place (an earlier
    restore gave it a new UUID). Any other disk is somebody's data: it is kept, no longer attached.
    """
    replaced = [d for d in attached if d.disk_id in point_disk_ids or d.device in point_devices]
    notices = [
        Notice(
            "DISK_KEPT_DETACHED",
            f"Disk {disk.display_name!r} ({disk.disk_id}) at position {disk.device} of the original VM is "
            "not in the restore point; it was kept and is not attached to the restored VM.",
        )
        for disk in attached
        if disk not in replaced
    ]
    return tuple(disk.disk_id for disk in replaced), tuple(notices)
