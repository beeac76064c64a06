"""How a disk of a snapshot is to be read: what changed since a base, what was ever written, or all of it."""

import structlog

from services.hypervisor.domain import tracking
from services.hypervisor.domain.extents import changed_extents
from services.hypervisor.domain.source import Source, SourceDisk
from services.hypervisor.domain.tracking import FullReason, TrackingOutcome
from services.hypervisor.ports.pool import PoolConnection, SnapshotDisk, VmShape

_log = structlog.get_logger()


async def plan(
    connection: PoolConnection,
    source: Source,
    shape: VmShape,
    outcomes: dict[str, TrackingOutcome],
    disk: SnapshotDisk,
) -> tuple[SourceDisk, bytes | None]:
    """How a disk is to be read, and the bitmap of what to read when there is one."""
    facts = disk.facts
    bases = {base.disk_id: base.tracking_ref for base in source.bases}
    outcome = outcomes.get(facts.disk_id, TrackingOutcome(tracking.Tracking.ON))
    base_ref = bases.get(facts.disk_id)
    base = await connection.tracked_disk(base_ref) if base_ref else None
    full = (
        tracking.no_base(source.asked, others_have_bases=bool(bases))
        if base_ref is None
        else tracking.why_full(outcome, facts, base_ref, base)
    )
    bitmap: bytes | None = None
    if full is None and base_ref is not None:
        told = await connection.changed_blocks(base_ref, disk.snapshot_disk_id)
        if isinstance(told, str):
            full = tracking.refused(told)
        else:
            bitmap = told
    base_size = base.size_bytes if base is not None and bitmap is not None else 0
    changed = (
        facts.size_bytes
        if bitmap is None
        else sum(each.length_bytes for each in changed_extents(bitmap, facts.size_bytes, base_size))
    )
    allocation = await _allocation(connection, disk) if bitmap is None and facts.size_bytes else None
    names = {each.configured.disk_id: each.configured.display_name for each in shape.disks}
    planned = SourceDisk(
        disk_id=facts.disk_id,
        snapshot_disk_id=disk.snapshot_disk_id,
        device=disk.device,
        display_name=names.get(facts.disk_id, ""),
        size_bytes=facts.size_bytes,
        tracked=facts.tracked,
        full_reason=full.reason if full else FullReason.UNSPECIFIED,
        full_reason_message=full.message if full else "",
        base_size_bytes=base_size,
        changed_bytes=changed,
        allocation_known=allocation is not None,
        base_tracking_ref=base_ref if base_ref and full is None else "",
    )
    return planned, bitmap if bitmap is not None else allocation


async def _allocation(connection: PoolConnection, disk: SnapshotDisk) -> bytes | None:
    allocated = await connection.allocated_blocks(disk.snapshot_disk_id)
    if isinstance(allocated, bytes):
        return allocated
    _log.info("everything is read", disk=disk.facts.disk_id, because=allocated)
    return None
