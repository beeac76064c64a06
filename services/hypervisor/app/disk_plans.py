"""How a disk of a snapshot is to be read: what changed since a base, what differs from a kept snapshot, what
was ever written, or all of it.
"""

from dataclasses import dataclass

from services.hypervisor.domain import differences, memory, tracking
from services.hypervisor.domain.configuration import ConfiguredDisk
from services.hypervisor.domain.differences import Layers, WithoutTracking
from services.hypervisor.domain.extents import changed_extents
from services.hypervisor.domain.notice import Notice
from services.hypervisor.domain.source import DiskKind, Source, SourceDisk, is_unchanging
from services.hypervisor.domain.tracking import Full, FullReason, TrackingOutcome
from services.hypervisor.ports.pool import PoolConnection
from services.hypervisor.ports.snapshots import SnapshotDisk, SuspendImage, VmShape


@dataclass(frozen=True)
class Planned:
    """A disk, the bitmap of what to read when there is one, and what a person should know of it."""

    disk: SourceDisk
    bitmap: bytes | None
    notices: tuple[Notice, ...] = ()


@dataclass(frozen=True)
class _Since:
    """What to read since a base of so many bytes, or why all of it."""

    full: Full | None
    bitmap: bytes | None = None
    base_size_bytes: int = 0


async def plan(
    connection: PoolConnection,
    source: Source,
    shape: VmShape,
    outcomes: dict[str, TrackingOutcome],
    disk: SnapshotDisk,
) -> Planned:
    """How a disk is to be read."""
    facts = disk.facts
    bases = live_bases(source)
    outcome = outcomes.get(facts.disk_id, TrackingOutcome(tracking.Tracking.ON))
    base_ref = bases.get(facts.disk_id)
    gone = bases.keys() - {each.configured.disk_id for each in shape.disks}
    if base_ref is None:
        since = _Since(tracking.no_base(source.asked, others_have_bases=bool(bases), gone=gone))
    else:
        since = await _since(connection, disk, base_ref, outcome)
    changed = (
        facts.size_bytes
        if since.bitmap is None
        else sum(
            each.length_bytes
            for each in changed_extents(since.bitmap, facts.size_bytes, since.base_size_bytes)
        )
    )
    unknown = since.bitmap is None and facts.size_bytes > 0
    allocated = await connection.allocated_blocks(disk.snapshot_disk_id) if unknown else ""
    allocation = allocated if isinstance(allocated, bytes) else None
    names = {each.configured.disk_id: each.configured.display_name for each in shape.disks}
    keep = not facts.tracked and source.options.without_tracking is WithoutTracking.KEEP_SNAPSHOT
    layers = await connection.layers(disk.snapshot_disk_id) if keep else None
    planned = SourceDisk(
        disk_id=facts.disk_id,
        snapshot_disk_id=disk.snapshot_disk_id,
        device=disk.device,
        display_name=names.get(facts.disk_id, ""),
        size_bytes=facts.size_bytes,
        tracked=facts.tracked,
        full_reason=since.full.reason if since.full else FullReason.UNSPECIFIED,
        full_reason_message=since.full.message if since.full else "",
        base_size_bytes=since.base_size_bytes,
        changed_bytes=changed,
        allocation_known=allocation is not None,
        base_tracking_ref=base_ref if base_ref and since.full is None else "",
        kept=layers is not None and layers.can_be_base,
    )
    notices = [_kept(planned, layers)] if planned.kept and layers else []
    notices += read_whole(planned, allocated)
    return Planned(planned, since.bitmap if since.bitmap is not None else allocation, tuple(notices))


async def _since(
    connection: PoolConnection, disk: SnapshotDisk, base_ref: str, outcome: TrackingOutcome
) -> _Since:
    """Tracked changes; where there are none, differences to the base if it was kept with its data."""
    base = await connection.tracked_disk(base_ref) if base_ref else None
    full = tracking.why_full(outcome, disk.facts, base_ref, base)
    if full is None and base is not None:
        told = await connection.changed_blocks(base_ref, disk.snapshot_disk_id)
        if isinstance(told, bytes):
            return _Since(None, told, base.size_bytes)
        full = tracking.refused(told)
    old = await connection.layers(base_ref) if base is not None else None
    if base is None or old is None or not old.has_data:
        return _Since(full)
    layers = await connection.layers(disk.snapshot_disk_id)
    if layers is None:
        return _Since(full)
    if different := differences.why_not(disk.facts, layers, base, old):
        return _Since(different)
    told = await connection.differing_blocks(base_ref, disk.snapshot_disk_id)
    if isinstance(told, bytes):
        return _Since(None, told, base.size_bytes)
    return _Since(tracking.refused(told))


def memory_disk(image: SuspendImage) -> ConfiguredDisk:
    """The suspend image as a disk of the point."""
    return ConfiguredDisk(image.snapshot_disk_id, memory.DEVICE, "Memory", "", (), image.sr_id)


async def memory_of(
    connection: PoolConnection, vm_id: str, image: SuspendImage | None
) -> memory.Memory | None:
    """What a restore has to know before it puts the memory back."""
    if image is None:
        return None
    guest = await connection.guest(vm_id)
    return memory.Memory(image.snapshot_disk_id, image.cpu, guest.domain_controller_hint)


async def plan_memory(connection: PoolConnection, image: SuspendImage) -> Planned:
    """How the memory of a snapshot is to be read: all that was written, each time."""
    allocated = await connection.allocated_blocks(image.snapshot_disk_id) if image.size_bytes else ""
    allocation = allocated if isinstance(allocated, bytes) else None
    planned = SourceDisk(
        disk_id=image.snapshot_disk_id,
        snapshot_disk_id=image.snapshot_disk_id,
        device=memory.DEVICE,
        display_name="Memory",
        size_bytes=image.size_bytes,
        tracked=False,
        full_reason=FullReason.SUSPEND_IMAGE,
        full_reason_message="",
        base_size_bytes=0,
        changed_bytes=image.size_bytes,
        allocation_known=allocation is not None,
        kind=DiskKind.SUSPEND_IMAGE,
    )
    return Planned(planned, allocation, tuple(read_whole(planned, allocated)))


def live_bases(source: Source) -> dict[str, str]:
    """Bases of disks the VM had; those of its own snapshots say nothing of them."""
    return {base.disk_id: base.tracking_ref for base in source.bases if not is_unchanging(base.tracking_ref)}


def read_whole(disk: SourceDisk, allocated: bytes | str) -> list[Notice]:
    """Why what was never written is read too; nothing when it is not."""
    if isinstance(allocated, bytes) or not allocated:
        return []
    told = (
        f"All of disk {disk.display_name!r} ({disk.disk_id}) is read, because which parts of it were ever "
        f"written could not be found out: {allocated}."
    )
    return [Notice("ALLOCATION_UNKNOWN", told)]


def _kept(disk: SourceDisk, layers: Layers) -> Notice:
    return Notice(
        "SNAPSHOT_KEPT",
        f"The pool cannot track changed blocks of disk {disk.display_name!r} ({disk.disk_id}): its snapshot "
        f"{disk.snapshot_disk_id} stays until the next backup into this repository. It takes "
        f"{layers.used_bytes} bytes now, and what the VM overwrites until then on top of that.",
    )
