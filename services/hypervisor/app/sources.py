"""Backup sources: opening a moment of a VM, telling what to read of it, and closing it.

Killed at any step: the source was stored before the pool was asked for anything, so opening or closing again
with the same id finds what was made (by name and tag) and goes on; what nobody asks for again is closed by
the janitor when the transfer is reported failed.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import structlog

from services.chassis.clock import Clock
from services.chassis.errors import FailedPrecondition, InvalidInput, NotFound, Unavailable
from services.hypervisor.app.pools import Pools
from services.hypervisor.app.steps import Locks, Ongoing, Passed, nobody
from services.hypervisor.domain import tracking
from services.hypervisor.domain.configuration import Configuration, pack
from services.hypervisor.domain.extents import Extent, changed_extents
from services.hypervisor.domain.notice import Notice
from services.hypervisor.domain.source import (
    Base,
    Source,
    SourceDisk,
    SourceState,
    consistency_of,
)
from services.hypervisor.domain.tracking import FullReason, TrackingOutcome
from services.hypervisor.domain.vm import Method
from services.hypervisor.ports.pool import NbdEndpoint, PoolConnection, Snapshot, SnapshotDisk, VmShape
from services.hypervisor.ports.stores import SourceStore

_log = structlog.get_logger()


@dataclass(frozen=True)
class Readable:
    """An open source, the VM's configuration, and where each disk can be read now (by live disk's UUID)."""

    source: Source
    configuration: bytes
    endpoints: dict[str, tuple[NbdEndpoint, ...]]


class Sources:
    """Opens and closes; ``passed`` is told each step that is done."""

    def __init__(self, store: SourceStore, pools: Pools, clock: Clock, passed: Passed = nobody) -> None:
        self._store = store
        self._pools = pools
        self._clock = clock
        self._passed = passed
        self._locks = Locks()
        self._ongoing = Ongoing()

    async def open(
        self,
        pool_id: str,
        vm_id: str,
        source_id: str,
        method: Method,
        bases: tuple[Base, ...],
        asked: FullReason,
    ) -> Readable:
        """Raises FailedPrecondition METHOD_UNSUPPORTED, NBD_NOT_ENABLED, SOURCE_CLOSED; InvalidInput
        SOURCE_ID_TAKEN; what the pool raises."""
        if method is not Method.NORMAL:
            raise FailedPrecondition(
                f"VMs cannot be captured with the method {method.value.lower()} yet.",
                reason="METHOD_UNSUPPORTED",
                hint="Use the method normal.",
            )
        watch = self._pools.find(pool_id)
        asked_for = Source(
            source_id=source_id,
            pool_id=pool_id,
            vm_id=vm_id,
            method=method,
            bases=bases,
            asked=asked,
            state=SourceState.OPENING,
            created=self._clock.now(),
            pool_display_name=watch.pool.display_name,
        )
        source = await self._ongoing.join(f"open {source_id}", lambda: self._opened(asked_for))
        if (source.pool_id, source.vm_id) != (pool_id, vm_id):
            raise InvalidInput(
                f"The id {source_id} is that of another backup source.",
                reason="SOURCE_ID_TAKEN",
                hint="Choose a new UUID for each backup.",
            )
        return await self._readable(watch.connection, source)

    async def get(self, pool_id: str, source_id: str) -> Readable:
        """With endpoints that are valid now. Raises NotFound SOURCE_UNKNOWN and as ``open``."""
        source = await self._existing(pool_id, source_id)
        _assert_open(source)
        return await self._readable(self._pools.connection(pool_id), source)

    async def extents(self, pool_id: str, source_id: str, disk_id: str) -> Iterator[Extent]:
        """What has to be read of a disk, ascending: what changed, what was ever written, or all of it."""
        source = await self._existing(pool_id, source_id)
        _assert_open(source)
        disk = next((disk for disk in source.disks if disk.disk_id == disk_id), None)
        if disk is None:
            raise NotFound(
                f"Backup source {source_id} has no disk {disk_id}.",
                reason="DISK_UNKNOWN",
                hint="Ask for one of the disks it lists.",
            )
        if not disk.extents_known:
            return iter([Extent(0, disk.size_bytes)] if disk.size_bytes else [])
        bitmap = await self._store.bitmap(source_id, disk_id)
        known = disk.base_size_bytes if disk.incremental else disk.size_bytes
        return changed_extents(bitmap, disk.size_bytes, known)

    async def close(self, pool_id: str, source_id: str, committed: bool) -> None:
        """Safe to repeat; what was said first about ``committed`` holds."""
        await self._ongoing.join(f"close {source_id}", lambda: self._close(pool_id, source_id, committed))

    async def _close(self, pool_id: str, source_id: str, committed: bool) -> None:
        async with self._locks.of(source_id):
            source = await self._existing(pool_id, source_id)
            if source.state is SourceState.CLOSED:
                return
            if source.state is not SourceState.CLOSING:
                source = replace(source, state=SourceState.CLOSING, committed=committed)
                await self._store.save(source)
                self._passed("close:recorded")
            connection = self._pools.connection(pool_id)
            await connection.remove_snapshot(source_id, keep_tracking=source.committed)
            self._passed("close:removed")
            await self._store.close(replace(source, state=SourceState.CLOSED))

    async def _existing(self, pool_id: str, source_id: str) -> Source:
        source = await self._store.get(source_id)
        if source is None or source.pool_id != pool_id:
            raise NotFound(
                f"There is no backup source {source_id} in pool {pool_id}.",
                reason="SOURCE_UNKNOWN",
                hint="Open one.",
            )
        return source

    async def _opened(self, asked_for: Source) -> Source:
        """The source of that id: as it is, or opened now."""
        async with self._locks.of(asked_for.source_id):
            source = await self._store.add(asked_for)
            self._passed("open:recorded")
            _assert_not_closed(source)
            if source.state is SourceState.OPENING:
                source = await self._open(self._pools.connection(source.pool_id), source)
            return source

    async def _open(self, connection: PoolConnection, source: Source) -> Source:
        await connection.assert_readable()
        shape = await connection.shape(source.vm_id)
        skipped = [disk for disk in shape.disks if disk.obstacle]
        outcomes = {
            disk.configured.disk_id: await connection.track(disk.configured.disk_id)
            for disk in shape.disks
            if not disk.obstacle
        }
        self._passed("open:tracked")
        leave_out = [disk.configured.disk_id for disk in skipped]
        snapshot = await connection.take_snapshot(source.vm_id, source.source_id, leave_out)
        self._passed("open:snapshot")
        configuration = Configuration(
            pool_id=source.pool_id,
            vm_id=source.vm_id,
            vm_display_name=shape.display_name,
            disks=tuple(disk.configured for disk in shape.disks),
            interfaces=shape.interfaces,
            archive=await connection.export_configuration(source.vm_id),
        )
        self._passed("open:configuration")
        disks, bitmaps = [], {}
        for disk in snapshot.disks:
            planned, bitmap = await self._plan(connection, source, shape, outcomes, disk)
            disks.append(planned)
            if bitmap is not None:
                bitmaps[planned.disk_id] = bitmap
        opened = replace(
            source,
            state=SourceState.OPEN,
            vm_display_name=shape.display_name,
            snapshot_vm_id=snapshot.snapshot_vm_id,
            snapshot_time=snapshot.time,
            consistency=consistency_of(snapshot.power_state),
            disks=tuple(disks),
            notices=_notices(shape, snapshot),
        )
        await self._store.open(opened, pack(configuration), bitmaps)
        self._passed("open:stored")
        return opened

    async def _plan(
        self,
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
        allocation = None
        if bitmap is None and facts.size_bytes:
            allocated = await connection.allocated_blocks(disk.snapshot_disk_id)
            if isinstance(allocated, bytes):
                allocation = allocated
            else:
                _log.info("everything is read", disk=facts.disk_id, because=allocated)
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
        )
        return planned, bitmap if bitmap is not None else allocation

    async def _readable(self, connection: PoolConnection, source: Source) -> Readable:
        snapshots = tuple(disk.snapshot_disk_id for disk in source.disks)
        endpoints = await connection.nbd_endpoints(snapshots)
        for disk in source.disks:
            if endpoints.get(disk.snapshot_disk_id):
                continue
            if await connection.tracked_disk(disk.snapshot_disk_id) is None:
                raise FailedPrecondition(
                    f"Somebody removed the snapshot of disk {disk.display_name!r} ({disk.disk_id}).",
                    reason="SNAPSHOT_GONE",
                    hint="Start a new backup, and leave snapshots called xenkeep-… alone.",
                )
            raise Unavailable(
                f"No live host can serve disk {disk.display_name!r} ({disk.disk_id}) by NBD now.",
                reason="NBD_NOWHERE",
                hint="Check that its storage repository is plugged in on a host with an NBD network.",
            )
        return Readable(
            source=source,
            configuration=await self._store.configuration(source.source_id),
            endpoints={disk.disk_id: endpoints[disk.snapshot_disk_id] for disk in source.disks},
        )


def _notices(shape: VmShape, snapshot: Snapshot) -> tuple[Notice, ...]:
    """Which disks of the VM are not in the snapshot, and why."""
    taken = {disk.facts.disk_id for disk in snapshot.disks}
    notices = []
    for disk in shape.disks:
        if disk.configured.disk_id in taken:
            continue
        why = disk.obstacle or "it was attached after the snapshot was taken"
        name = f"{disk.configured.display_name!r} ({disk.configured.disk_id})"
        notices.append(Notice("DISK_SKIPPED", f"Disk {name} was not backed up: {why}."))
    return tuple(notices)


def _assert_not_closed(source: Source) -> None:
    if source.state in (SourceState.CLOSING, SourceState.CLOSED):
        raise FailedPrecondition(
            f"Backup source {source.source_id} has been closed.",
            reason="SOURCE_CLOSED",
            hint="Start a new backup with a new id.",
        )


def _assert_open(source: Source) -> None:
    _assert_not_closed(source)
    if source.state is SourceState.OPENING:
        raise FailedPrecondition(
            f"Backup source {source.source_id} has not been opened completely.",
            reason="SOURCE_NOT_OPEN",
            hint="Open it again with the same id.",
        )
