"""A restore point as the rest of Xenkeep sees it."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from services.mover.domain.capture import (
    Consistency,
    DiskKind,
    FullReason,
    GroupMoment,
    Level,
    Method,
    Remark,
)


class AssetKind(StrEnum):
    """What is protected."""

    VM = "vm"
    POOL = "pool"


@dataclass(frozen=True, slots=True)
class Asset:
    """``asset_id`` is the VM's or the pool's UUID; names are those at the time of the point."""

    asset_id: str
    display_name: str
    pool_id: str
    pool_display_name: str
    kind: AssetKind = AssetKind.VM


@dataclass(frozen=True, slots=True)
class PointDisk:
    """``content_root`` is the root of the disk's Merkle map, hexadecimal; empty for an all-zero disk."""

    disk_id: str
    device: str
    display_name: str
    size_bytes: int
    level: Level
    full_reason: FullReason
    read_bytes: int
    changed_bytes: int
    tracking_ref: str
    content_root: str
    kind: DiskKind = DiskKind.DATA


@dataclass(frozen=True, slots=True)
class MissingDisk:
    """A disk that should be in the point and is not, and why in one sentence."""

    disk_id: str
    device: str
    display_name: str
    message: str


@dataclass(frozen=True, slots=True)
class VmSnapshot:
    """A snapshot somebody took of the VM; ``saved``: its disks are in the point."""

    snapshot_id: str
    display_name: str
    description: str
    snapshot_time: datetime
    parent_id: str
    with_memory: bool
    saved: bool = False


@dataclass(frozen=True, slots=True)
class PointStream:
    """Bytes a point holds beside disks; ``name`` fits a file."""

    name: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Point:
    """``base_point_id`` is empty for a full; ``run`` is ``runs/{run}``; ``group`` is None for a VM captured
    alone; ``compression_level`` is zstd's, None where the point does not say."""

    point_id: str
    repository_id: str
    asset: Asset
    snapshot_time: datetime
    commit_time: datetime
    method: Method
    level: Level
    consistency: Consistency
    base_point_id: str
    disks: tuple[PointDisk, ...]
    read_bytes: int
    stored_bytes: int
    notices: tuple[Remark, ...]
    policy: str
    run: str
    group: GroupMoment | None = None
    missing_disks: tuple[MissingDisk, ...] = ()
    vm_snapshots: tuple[VmSnapshot, ...] = ()
    streams: tuple[PointStream, ...] = ()
    compression_level: int | None = None

    @property
    def logical_bytes(self) -> int:
        """Sum of the sizes of disks and streams."""
        return sum(disk.size_bytes for disk in self.disks) + sum(each.size_bytes for each in self.streams)


@dataclass(frozen=True, slots=True)
class UnreadablePoint:
    """A point whose object cannot be read: it was committed, and more is not known."""

    point_id: str
    repository_id: str


@dataclass(frozen=True, slots=True)
class Damage:
    """Damage in a repository: the object, what is wrong with it, and the points it costs."""

    object_name: str
    message: str
    point_ids: tuple[str, ...] = ()
