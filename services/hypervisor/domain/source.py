"""Backup sources: a moment of a VM, open until it is closed.

OPENING -> OPEN -> CLOSING -> CLOSED, each stored before it is acted on. Killed in OPENING, opening again with
the same id goes on; in CLOSING, the janitor or the next close goes on.
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

from services.hypervisor.domain.capture import Options
from services.hypervisor.domain.group import GroupMoment
from services.hypervisor.domain.notice import Notice
from services.hypervisor.domain.surroundings import OwnSnapshot
from services.hypervisor.domain.tracking import FullReason
from services.hypervisor.domain.vm import Method, PowerState

_UNCHANGING = "unchanging:"


class SourceState(Enum):
    OPENING = "OPENING"
    OPEN = "OPEN"
    CLOSING = "CLOSING"
    CLOSED = "CLOSED"


class Consistency(Enum):
    """Names as in the contract."""

    POWERED_OFF = "POWERED_OFF"
    MEMORY = "MEMORY"
    APPLICATION = "APPLICATION"
    FILESYSTEM = "FILESYSTEM"
    CRASH = "CRASH"


class DiskKind(Enum):
    """What a disk to read holds; names as in the contract."""

    UNSPECIFIED = "UNSPECIFIED"
    SUSPEND_IMAGE = "SUSPEND_IMAGE"
    OWN_SNAPSHOT = "OWN_SNAPSHOT"


@dataclass(frozen=True)
class Base:
    """What an incremental of one disk starts from."""

    disk_id: str
    tracking_ref: str


@dataclass(frozen=True)
class SourceDisk:
    """A disk to read. ``full_reason`` is UNSPECIFIED when it is read incrementally, relative to
    ``base_tracking_ref``. ``kept``: its snapshot stays with its data, because it is not tracked. ``moved``:
    the snapshot was followed to other storage. ``lost``: the VM has the disk no more, which was told.
    """

    disk_id: str
    snapshot_disk_id: str
    device: str
    display_name: str
    size_bytes: int
    tracked: bool
    full_reason: FullReason
    full_reason_message: str
    base_size_bytes: int
    changed_bytes: int
    allocation_known: bool = False
    base_tracking_ref: str = ""
    kept: bool = False
    moved: bool = False
    lost: bool = False
    kind: DiskKind = DiskKind.UNSPECIFIED

    @property
    def told(self) -> bool:
        """Whether it was said why the VM has the disk no more."""
        return self.moved or self.lost

    @property
    def extents_known(self) -> bool:
        """Whether a bitmap says what has to be read."""
        return self.incremental or self.allocation_known

    @property
    def incremental(self) -> bool:
        return self.full_reason is FullReason.UNSPECIFIED

    @property
    def tracking_ref(self) -> str:
        """What the next incremental starts from: the snapshot's UUID, or nothing when nothing stays of it."""
        if self.kind is DiskKind.OWN_SNAPSHOT:
            return unchanging(self.disk_id)
        return self.snapshot_disk_id if self.tracked or self.kept else ""

    @property
    def unchanged(self) -> bool:
        """Nothing has to be read of it: an earlier point has it, and it does not change."""
        return self.kind is DiskKind.OWN_SNAPSHOT and self.incremental


@dataclass(frozen=True)
class MissingDisk:
    """A disk that no rule leaves out and that cannot be read, and why."""

    disk_id: str
    device: str
    display_name: str
    message: str


@dataclass(frozen=True)
class Source:
    """One backup source. What is known only once it is OPEN is empty before. ``options`` hold no hooks;
    ``lineage`` is the chain of restore points it goes on with."""

    source_id: str
    pool_id: str
    vm_id: str
    method: Method
    bases: tuple[Base, ...]
    asked: FullReason
    state: SourceState
    created: datetime
    committed: bool = False
    vm_display_name: str = ""
    pool_display_name: str = ""
    snapshot_vm_id: str = ""
    snapshot_time: datetime | None = None
    consistency: Consistency = Consistency.CRASH
    disks: tuple[SourceDisk, ...] = ()
    notices: tuple[Notice, ...] = ()
    options: Options = field(default_factory=Options)
    group: GroupMoment | None = None
    reserved: bool = False
    lineage: str = ""
    missing_disks: tuple[MissingDisk, ...] = ()
    vm_snapshots: tuple[OwnSnapshot, ...] = ()
    share: tuple[tuple[str, int], ...] = ()
    """Connections it may use now, by host; told at ``share_time``."""
    share_time: datetime | None = None

    @property
    def kept_disks(self) -> frozenset[str]:
        """UUIDs of the snapshots that stay with their data."""
        return frozenset(disk.snapshot_disk_id for disk in self.disks if disk.kept)

    @property
    def snapshot_disks(self) -> frozenset[str]:
        """UUIDs of the disks of its snapshot, memory included; not those of the VM's own snapshots."""
        return frozenset(
            disk.snapshot_disk_id for disk in self.disks if disk.kind is not DiskKind.OWN_SNAPSHOT
        )


def unchanging(disk_id: str) -> str:
    """What a point notes of a disk of a VM's own snapshot: the next one has nothing to read of it."""
    return f"{_UNCHANGING}{disk_id}"


def is_unchanging(tracking_ref: str) -> bool:
    return tracking_ref.startswith(_UNCHANGING)


def consistency_of(power_state_at_snapshot: PowerState) -> Consistency:
    """What a plain snapshot guarantees: a suspended VM's memory is not captured, so its disks are as after a
    power cut."""
    return Consistency.POWERED_OFF if power_state_at_snapshot is PowerState.HALTED else Consistency.CRASH
