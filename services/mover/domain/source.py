"""What the hypervisor service offers to read and to write."""

from dataclasses import dataclass
from datetime import datetime

from services.mover.domain.capture import (
    Consistency,
    DiskKind,
    FullReason,
    GroupMoment,
    Level,
    Method,
    Remark,
)
from services.mover.domain.point import MissingDisk, VmSnapshot


@dataclass(frozen=True, slots=True)
class SourceDisk:
    """A disk of an open backup source. ``extents_known`` is false when all of it has to be read;
    ``base_tracking_ref`` says of an incremental what its extents are relative to.
    """

    disk_id: str
    device: str
    display_name: str
    size_bytes: int
    level: Level
    full_reason: FullReason
    full_reason_message: str
    tracking_ref: str
    extents_known: bool
    changed_bytes: int
    base_tracking_ref: str = ""
    kind: DiskKind = DiskKind.DATA


@dataclass(frozen=True, slots=True)
class Source:
    """An open snapshot of a VM; ``vm_configuration`` is opaque and may hold key material."""

    name: str
    vm: str
    vm_display_name: str
    pool_display_name: str
    method: Method
    consistency: Consistency
    snapshot_time: datetime
    vm_configuration: bytes
    disks: tuple[SourceDisk, ...]
    notices: tuple[Remark, ...]
    group: GroupMoment | None = None
    missing_disks: tuple[MissingDisk, ...] = ()
    vm_snapshots: tuple[VmSnapshot, ...] = ()

    def __repr__(self) -> str:
        return f"Source({self.name})"


@dataclass(frozen=True, slots=True)
class Base:
    """What an incremental of a disk starts from."""

    disk_id: str
    tracking_ref: str


@dataclass(frozen=True, slots=True)
class TargetDisk:
    """A disk that is being written."""

    disk_id: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Target:
    """A VM that is being put back; ``vm`` is empty before the commit."""

    name: str
    disks: tuple[TargetDisk, ...]
    vm: str
    committed: bool
    notices: tuple[Remark, ...] = ()
