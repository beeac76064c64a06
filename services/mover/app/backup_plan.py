"""What a backup builds upon and what it reads of each disk: decided without doing anything."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.mover.app.known_points import Known
from services.mover.app.point_records import lasting_disks, rfc3339
from services.mover.domain.capture import FullReason, Level, Remark
from services.mover.domain.source import Base, Source, SourceDisk
from services.mover.repository import DiskRequest, Extent, RestorePoint


@dataclass(frozen=True, slots=True)
class Wish:
    """What the hypervisor service is asked for: an incremental upon ``bases``, or a full because of
    ``reason``.
    """

    bases: tuple[Base, ...]
    reason: FullReason


@dataclass(frozen=True, slots=True)
class DiskPlan:
    """A disk, and how it is read; ``level`` may be less than the source offered."""

    disk: SourceDisk
    level: Level
    reason: FullReason
    remark: Remark | None = None

    def request(self, source: Source, extents: tuple[Extent, ...] | None) -> DiskRequest:
        """``extents`` as the source tells them. Of an incremental that became a full they say too little."""
        incremental = self.level == Level.INCREMENTAL
        less = not incremental and self.disk.level == Level.INCREMENTAL
        return DiskRequest(
            disk_id=self.disk.disk_id,
            size_bytes=self.disk.size_bytes,
            extents=None if less else extents,
            base_disk=self.disk.disk_id if incremental else None,
            label=self.disk.display_name,
            reason="" if incremental else self.reason.value,
            tracking_ref=self.disk.tracking_ref,
            source_ref=f"{source.name} {source.snapshot_time.isoformat()}",
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """``base`` is None when no disk is read incrementally."""

    base: RestorePoint | None
    disks: tuple[DiskPlan, ...]


def wish(known: Known, asset_id: str, *, full: bool) -> Wish:
    """What to ask for. A point that cannot be read may have been the newest of this asset."""
    if full:
        return Wish((), FullReason.REQUESTED)
    newest = next(iter(known.of_asset(asset_id)), None)
    if newest is None:
        lost = FullReason.BASE_POINT_UNUSABLE if known.unreadable else FullReason.FIRST_BACKUP
        return Wish((), lost)
    bases = tuple(Base(disk.disk_id, disk.tracking_ref) for disk in lasting_disks(newest))
    return Wish(bases, FullReason.NONE)


def plan(source: Source, points: Sequence[RestorePoint]) -> Plan:
    """``points`` are those of the asset, newest first.

    The source may have been opened by an earlier attempt, before a newer point was committed: what its
    extents are relative to decides what to build upon, not what is newest now.
    """
    base = _base(source, points)
    disks = tuple(_explained(_disk_plan(disk, base), points) for disk in source.disks)
    used = any(disk.level == Level.INCREMENTAL for disk in disks)
    return Plan(base if used else None, disks)


def without_base(old: Plan, why: str) -> Plan:
    """All full, because the base turned out to be unusable."""
    return Plan(None, tuple(_full(each, FullReason.BASE_POINT_UNUSABLE, why) for each in old.disks))


def untrue(old: DiskPlan, offset: int) -> DiskPlan:
    """Full, because something changed that the pool said had not."""
    why = (
        f"the pool said that what is at byte {offset} had not changed, and it has. Restore points since the"
        " last full one may lack changes too."
    )
    return _full(old, FullReason.TRACKING_UNTRUE, why)


def _base(source: Source, points: Sequence[RestorePoint]) -> RestorePoint | None:
    incremental = [disk for disk in source.disks if disk.level == Level.INCREMENTAL]
    if not incremental:
        return None
    first = incremental[0]
    for point in points:
        disk = point.disk(first.disk_id)
        if first.base_tracking_ref:
            if disk is not None and disk.tracking_ref == first.base_tracking_ref:
                return point
        elif point.snapshot_time <= rfc3339(source.snapshot_time):
            return point
    return None


def _disk_plan(disk: SourceDisk, base: RestorePoint | None) -> DiskPlan:
    if disk.level != Level.INCREMENTAL:
        said = disk.full_reason_message
        remark = Remark(f"FULL_{disk.full_reason.name}", said) if said else None
        return DiskPlan(disk, Level.FULL, disk.full_reason, remark)
    found = base.disk(disk.disk_id) if base is not None else None
    offered = DiskPlan(disk, Level.INCREMENTAL, FullReason.NONE)
    if found is None or disk.base_tracking_ref not in ("", found.tracking_ref):
        return _full(offered, FullReason.BASE_POINT_UNUSABLE, "its base is in no readable restore point.")
    if found.size_bytes > disk.size_bytes:
        return _full(offered, FullReason.DISK_RESIZED, "it is smaller than it was.")
    return offered


def _explained(planned: DiskPlan, points: Sequence[RestorePoint]) -> DiskPlan:
    """A disk that an older point has and the newest has not is no first backup: it failed or was left out."""
    disk = planned.disk
    known = any(point.disk(disk.disk_id) is not None for point in points)
    if planned.reason != FullReason.FIRST_BACKUP or not known:
        return planned
    why = (
        f"Disk {disk.device} ({disk.display_name}) is read fully: the newest restore point does not have it."
    )
    remark = Remark(f"FULL_{FullReason.BASE_POINT_UNUSABLE.name}", why)
    return DiskPlan(disk, Level.FULL, FullReason.BASE_POINT_UNUSABLE, remark)


def _full(planned: DiskPlan, reason: FullReason, why: str) -> DiskPlan:
    if planned.level != Level.INCREMENTAL:
        return planned
    disk = planned.disk
    remark = Remark(f"FULL_{reason.name}", f"Disk {disk.device} ({disk.display_name}) is read fully: {why}")
    return DiskPlan(disk, Level.FULL, reason, remark)
