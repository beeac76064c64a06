"""A backup: a snapshot is opened, what has to be read is read, a restore point is committed."""

import asyncio
from collections.abc import Callable, Sequence

from services.chassis.clock import Clock
from services.chassis.errors import NotFound, XenkeepError
from services.mover.app.board import Board
from services.mover.app.cancellation import Cancellation
from services.mover.app.point_records import describe, read_point
from services.mover.app.shelf import Shelf
from services.mover.domain.capture import FullReason, Level, Remark
from services.mover.domain.facts import PointCommitted
from services.mover.domain.names import vm_ids
from services.mover.domain.outcome import Outcome
from services.mover.domain.point import Asset, Point
from services.mover.domain.source import Base, Source, SourceDisk
from services.mover.domain.transfer import Backup, Result, Transfer
from services.mover.ports.neighbours import Disks, Hypervisor
from services.mover.repository import (
    VM_CONFIGURATION,
    BackupOptions,
    BackupSession,
    DiskRequest,
    Extent,
    Progress,
    Repository,
    RestorePoint,
)

DEFAULT_CONNECTIONS = 4
Options = Callable[[int], BackupOptions]
"""How hard to work with so many connections to a disk."""


class BackupRunner:
    """The transfer's id is also that of the backup source and of the restore point, so that whoever repeats
    it finds what is there.

    Killed before the commit: the next attempt finds the open source by its id and goes on at the checkpoint.
    Killed after it: the next attempt finds the point, closes the source and reports.
    """

    def __init__(
        self, shelf: Shelf, hypervisor: Hypervisor, disks: Disks, options: Options, clock: Clock
    ) -> None:
        self._shelf = shelf
        self._hypervisor = hypervisor
        self._disks = disks
        self._options = options
        self._clock = clock

    async def __call__(self, transfer: Transfer, spec: Backup, board: Board, cancel: Cancellation) -> Outcome:
        point_id = transfer.transfer_id
        pool_id, vm_id = vm_ids(spec.vm)
        board.doing("opening the repository")
        registration = await self._shelf.registration(spec.repository_id)
        repository = await self._shelf.repository(registration.repository_id)
        done = await asyncio.to_thread(_committed, repository, point_id)
        if done is not None:
            await self._close(f"pools/{pool_id}/backupSources/{point_id}", committed=True)
            return _outcome(read_point(registration.repository_id, done), registration.display_name, done, 0)
        base = None if spec.full else await asyncio.to_thread(_newest, repository, vm_id)
        reason = (
            FullReason.REQUESTED
            if spec.full
            else FullReason.FIRST_BACKUP
            if base is None
            else FullReason.NONE
        )
        bases = (
            [Base(disk.disk_id, disk.tracking_ref) for disk in base.disks if disk.tracking_ref]
            if base
            else []
        )
        board.doing("taking the snapshot")
        source = await self._hypervisor.open_source(point_id, spec.vm, spec.method, bases, reason)
        asset = Asset(vm_id, source.vm_display_name, pool_id, source.pool_display_name)
        try:
            point, resumed = await self._read(repository, transfer, spec, source, base, asset, board, cancel)
        except XenkeepError:
            await self._close(source.name, committed=False)
            raise
        board.doing("removing the snapshot")
        await self._close(source.name, committed=True)
        return _outcome(
            read_point(registration.repository_id, point), registration.display_name, point, resumed
        )

    async def _read(
        self,
        repository: Repository,
        transfer: Transfer,
        spec: Backup,
        source: Source,
        base: RestorePoint | None,
        asset: Asset,
        board: Board,
        cancel: Cancellation,
    ) -> tuple[RestorePoint, int]:
        extents = {disk.disk_id: await self._extents(source, disk) for disk in source.disks}
        for disk in source.disks:
            board.expect(disk.disk_id, _amount(disk, extents[disk.disk_id]))
        used = base if any(disk.level == Level.INCREMENTAL for disk in source.disks) else None
        return await asyncio.to_thread(
            self._back_up, repository, transfer, spec, source, used, asset, extents, board, cancel
        )

    async def _extents(self, source: Source, disk: SourceDisk) -> tuple[Extent, ...] | None:
        if not disk.extents_known:
            return None
        found = self._hypervisor.extents(source.name, disk.disk_id)
        return tuple([Extent(extent.offset, extent.length) async for extent in found])

    def _back_up(
        self,
        repository: Repository,
        transfer: Transfer,
        spec: Backup,
        source: Source,
        base: RestorePoint | None,
        asset: Asset,
        extents: dict[str, tuple[Extent, ...] | None],
        board: Board,
        cancel: Cancellation,
    ) -> tuple[RestorePoint, int]:
        """In a thread: everything between the snapshot and the commit."""
        connections = spec.connections or DEFAULT_CONNECTIONS
        remarks = list(source.notices)
        changed: dict[str, int] = {}
        resumed = 0
        session = repository.begin_backup(
            transfer.transfer_id,
            base.point_id if base else None,
            transfer_id=transfer.transfer_id,
            options=self._options(connections),
        )
        cancel.when_wanted(session.cancel)
        with session:
            session.stream(VM_CONFIGURATION, [source.vm_configuration])
            for disk in source.disks:
                board.doing(f"reading disk {disk.device} ({disk.display_name})")
                request = _request(disk, source, extents[disk.disk_id])
                if request.base_disk is None and disk.full_reason_message:
                    remarks.append(Remark(f"FULL_{disk.full_reason.name}", disk.full_reason_message))
                changed[disk.disk_id] = disk.changed_bytes
                resumed += self._one_disk(session, request, source, connections, board, remarks)
            board.doing("committing the restore point")
            now = self._clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
            point = session.commit(describe(source, spec, asset, changed, remarks, now))
        return point, max(resumed, session.resumed_from_bytes)

    def _one_disk(
        self,
        session: BackupSession,
        request: DiskRequest,
        source: Source,
        connections: int,
        board: Board,
        remarks: list[Remark],
    ) -> int:
        def listen(progress: Progress) -> None:
            board.moved(
                request.disk_id,
                total=progress.total,
                read=progress.read,
                resumed=progress.resumed,
                stored=progress.stored,
            )

        disk = self._disks.source(source.name, request.disk_id, request.size_bytes, connections)
        try:
            session.disk(request, disk, listen)
        finally:
            disk.close()
            remarks.extend(Remark(notice.code, notice.text) for notice in disk.notices())
        return disk.resumed_from_bytes

    async def _close(self, source: str, *, committed: bool) -> None:
        """A source that is gone already is closed."""
        try:
            await self._hypervisor.close_source(source, committed=committed)
        except NotFound:
            return


def _committed(repository: Repository, point_id: str) -> RestorePoint | None:
    try:
        return repository.get_point(point_id)
    except NotFound:
        return None


def _newest(repository: Repository, asset_id: str) -> RestorePoint | None:
    """The newest point of an asset. Damaged chunks of it are read again by the incremental on top of it."""
    points = map(repository.get_point, repository.list_points())
    ours = [point for point in points if point.asset.get("id") == asset_id]
    return max(ours, key=lambda point: (point.snapshot_time, point.commit_time), default=None)


def _request(disk: SourceDisk, source: Source, extents: tuple[Extent, ...] | None) -> DiskRequest:
    incremental = disk.level == Level.INCREMENTAL
    return DiskRequest(
        disk_id=disk.disk_id,
        size_bytes=disk.size_bytes,
        extents=extents,
        base_disk=disk.disk_id if incremental else None,
        label=disk.display_name,
        reason="" if incremental else disk.full_reason.value,
        tracking_ref=disk.tracking_ref,
        source_ref=source.name,
    )


def _amount(disk: SourceDisk, extents: Sequence[Extent] | None) -> int:
    return disk.size_bytes if extents is None else sum(extent.length for extent in extents)


def _outcome(point: Point, repository: str, record: RestorePoint, resumed: int) -> Outcome:
    resumed = max(resumed, record.statistics.get("resumed_bytes", 0))
    result = Result(point=point, notices=point.notices, resumed_from_bytes=resumed)
    return Outcome(result, (PointCommitted(point, repository),))
