"""A backup: a snapshot is opened, what has to be read is read, a restore point is committed."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from services.chassis.clock import Clock
from services.chassis.errors import Aborted, FailedPrecondition, NotFound, XenkeepError
from services.mover.app.backup_job import BackupJob, Reading
from services.mover.app.backup_plan import DiskPlan, Wish, plan, wish
from services.mover.app.board import Board
from services.mover.app.cancellation import Cancellation, from_thread, in_thread, unless_wanted
from services.mover.app.committed import committed
from services.mover.app.failed_disks import DiskFailed, told, without
from services.mover.app.failing import cleaned_up
from services.mover.app.known_points import Known
from services.mover.app.point_records import read_point
from services.mover.app.shelf import Shelf
from services.mover.domain.capture import Remark
from services.mover.domain.facts import PointCommitted
from services.mover.domain.names import source_name, vm_ids
from services.mover.domain.outcome import Outcome
from services.mover.domain.point import Asset
from services.mover.domain.repository import Registration
from services.mover.domain.source import Source
from services.mover.domain.transfer import ZSTD_LEVELS, Backup, Result, Transfer
from services.mover.ports.neighbours import Disks, Hypervisor
from services.mover.repository import BackupOptions, Extent, Repository, RestorePoint

DEFAULT_CONNECTIONS = 4
TAKEN_OVER = "TRANSFER_TAKEN_OVER"
SWEPT_LATER = "The hypervisor service removes the snapshot by itself."
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
        """Raises Aborted TRANSFER_TAKEN_OVER, having left everything to the mover that goes on."""
        pool_id, vm_id = vm_ids(spec.vm)
        board.doing("opening the repository")
        registration = await self._shelf.registration(spec.repository_id)
        repository = await self._shelf.repository(registration.repository_id)
        source = source_name(pool_id, transfer.transfer_id)
        done = await in_thread(cancel, committed, repository, transfer.transfer_id)
        if done is not None:
            return await self._outcome(registration, done, source, 0)
        job: BackupJob | None = None
        opening = transfer.attempt > 1
        remarks: list[Remark] = []
        board.keep(remarks)
        try:
            cancel.check()
            points = await self._shelf.points(registration.repository_id)
            known = await in_thread(cancel, points.now)
            board.doing("taking the snapshot")
            opening = True
            asked = wish(known, vm_id, full=spec.full)
            opened = await self._open(transfer, spec, asked, registration, cancel)
            options, unknown = _compressing(self._options(spec.connections or DEFAULT_CONNECTIONS), spec)
            remarks += [*opened.notices, *_unreadable(known), *unknown]
            while True:
                job = BackupJob(
                    repository=repository,
                    transfer_id=transfer.transfer_id,
                    spec=spec,
                    asset=Asset(vm_id, opened.vm_display_name, pool_id, opened.pool_display_name),
                    reading=await self._reading(opened, spec, known, vm_id, board, cancel),
                    options=options,
                    clock=self._clock,
                    board=board,
                    cancellation=cancel,
                    remarks=remarks,
                    review=partial(self._review, source, cancel, asyncio.get_running_loop()),
                )
                try:
                    point = await in_thread(cancel, job.run)
                    break
                except DiskFailed as failed:
                    opened = _left_of(opened, spec, failed)
                    remarks.append(told(failed))
                    board.forget(failed.disk.disk_id)
        except Exception as error:
            if job is not None and (done := await self._committed_after_all(repository, transfer, cancel)):
                return await self._outcome(registration, done, source, job.resumed_bytes)
            if not (isinstance(error, Aborted) and error.reason == TAKEN_OVER):
                if job is not None:
                    await cleaned_up(error, in_thread(cancel, job.forget), "A checkpoint is left, harmless.")
                if opening:
                    await cleaned_up(error, self._give_up(source, remarks), SWEPT_LATER)
            raise
        board.doing("removing the snapshot")
        return await self._outcome(registration, point, source, job.resumed_bytes)

    async def _open(
        self,
        transfer: Transfer,
        spec: Backup,
        wish: Wish,
        registration: Registration,
        cancel: Cancellation,
    ) -> Source:
        opening = self._hypervisor.open_source(
            transfer.transfer_id,
            spec.vm,
            spec.method,
            wish.bases,
            wish.reason,
            spec.options,
            spec.group,
            registration.repository_id,
        )
        try:
            return await unless_wanted(cancel, opening)
        except FailedPrecondition as error:
            if error.reason != "SOURCE_CLOSED":
                raise
            raise Aborted(
                "An earlier attempt of this transfer had failed and removed its snapshot.",
                reason="SNAPSHOT_GONE",
                hint="Start the backup again.",
            ) from error

    async def _reading(
        self, source: Source, spec: Backup, known: Known, vm_id: str, board: Board, cancel: Cancellation
    ) -> Reading:
        planned = plan(source, known.of_asset(vm_id))
        extents = {
            each.disk.disk_id: await unless_wanted(cancel, self._extents(source, each))
            for each in planned.disks
        }
        for disk_id, found in extents.items():
            size = next(disk.size_bytes for disk in source.disks if disk.disk_id == disk_id)
            board.expect(disk_id, size if found is None else sum(extent.length for extent in found))
        connections = spec.connections or DEFAULT_CONNECTIONS
        disks = await unless_wanted(cancel, self._disks.sources(source, connections))
        return Reading(source, planned, extents, disks)

    async def _extents(self, source: Source, planned: DiskPlan) -> tuple[Extent, ...] | None:
        disk = planned.disk
        if not disk.extents_known or planned.level != disk.level:
            return None
        found = self._hypervisor.extents(source.name, disk.disk_id)
        return tuple([Extent(extent.offset, extent.length) async for extent in found])

    async def _committed_after_all(
        self, repository: Repository, transfer: Transfer, cancel: Cancellation
    ) -> RestorePoint | None:
        """Whatever failed: a point that is there is committed, by us or by a mover that had taken over."""
        try:
            return await in_thread(cancel, committed, repository, transfer.transfer_id)
        except XenkeepError:
            return None  # what failed first is reported

    async def _outcome(
        self, registration: Registration, record: RestorePoint, source: str, resumed: int
    ) -> Outcome:
        """The point is committed: whatever goes wrong now is only remarked."""
        try:
            late = await self._close(source, committed=True)
        except XenkeepError as error:
            text = f"Closing the backup failed, its snapshot may be left: {error.message} {SWEPT_LATER}"
            late = (Remark("SNAPSHOT_LEFT", text),)
        point = read_point(registration.repository_id, record)
        result = Result(
            point=point,
            notices=tuple(dict.fromkeys((*point.notices, *late))),
            resumed_from_bytes=max(resumed, record.statistics.get("resumed_bytes", 0)),
        )
        return Outcome(result, (PointCommitted(point, registration.display_name),))

    async def _close(self, source: str, *, committed: bool) -> Sequence[Remark]:
        """All there is to tell of it. A source that is not known is closed."""
        try:
            return await self._hypervisor.close_source(source, committed=committed)
        except NotFound:
            return ()

    async def _give_up(self, source: str, remarks: list[Remark]) -> None:
        remarks.extend(await self._close(source, committed=False))

    def _review(self, source: str, cancel: Cancellation, loop: asyncio.AbstractEventLoop) -> Sequence[Remark]:
        """From a thread: all there is to tell of a source that was read. That nobody says it fails no backup
        of which every byte is there; it is told instead."""
        try:
            return from_thread(loop, unless_wanted(cancel, self._hypervisor.review_source(source)))
        except XenkeepError as error:
            if cancel.wanted:
                raise
            text = f"Nobody could say what became of the VM's disks while they were read: {error.message}"
            return (Remark("SOURCE_NOT_REVIEWED", text),)


def _left_of(opened: Source, spec: Backup, failed: DiskFailed) -> Source:
    """Begun again with the other disks, a backup goes on at its checkpoint. Raises the disk's error when that
    is not wanted."""
    if not spec.skips_failed_disks:
        raise failed.error from failed
    return without(opened, failed)


def _compressing(options: BackupOptions, spec: Backup) -> tuple[BackupOptions, list[Remark]]:
    """The options with the compression that is asked for; as the mover is set where it knows no such."""
    if spec.compression is None:
        return options, []
    if (level := ZSTD_LEVELS.get(spec.compression)) is not None:
        return replace(options, level=level), []
    text = (
        f"The policy asks for a compression this mover does not know; zstd's level {options.level} was used."
    )
    return options, [Remark("COMPRESSION_UNKNOWN", text)]


def _unreadable(known: Known) -> list[Remark]:
    if not known.unreadable:
        return []
    first = next(iter(known.unreadable.values()))
    text = f"{len(known.unreadable)} restore points of the repository cannot be read, for example: {first}"
    return [Remark("POINTS_UNREADABLE", text)]
