"""A restore: disks are made in the pool, written, and become a VM; or nothing stays."""

import asyncio

from services.chassis.errors import Aborted, Unavailable, XenkeepError
from services.mover.app.board import Board
from services.mover.app.cancellation import Cancellation
from services.mover.app.shelf import Shelf
from services.mover.domain import Extent
from services.mover.domain.capture import Remark
from services.mover.domain.outcome import Outcome
from services.mover.domain.source import Target, TargetDisk
from services.mover.domain.transfer import Restore, Result, Transfer
from services.mover.ports.neighbours import Disks, Hypervisor
from services.mover.repository import VM_CONFIGURATION, Progress, Repository, RestoreOptions, RestorePoint

PASSES = 4
"""How often a disk is written from its start when the way to it, or the pool's memory of it, is lost."""
DISKS_AT_ONCE = 2


class RestoreRunner:
    """The transfer's id is the id of the restore target.

    Killed before the commit: the next attempt finds the target and writes its disks again. Killed after it:
    the next attempt finds it committed. A restore that fails leaves nothing in the pool.
    """

    def __init__(self, shelf: Shelf, hypervisor: Hypervisor, disks: Disks, options: RestoreOptions) -> None:
        self._shelf = shelf
        self._hypervisor = hypervisor
        self._disks = disks
        self._options = options

    async def __call__(
        self, transfer: Transfer, spec: Restore, board: Board, cancel: Cancellation
    ) -> Outcome:
        board.doing("opening the repository")
        repository = await self._shelf.repository(spec.repository_id)
        point = await asyncio.to_thread(repository.get_point, spec.point_id)
        await asyncio.to_thread(repository.require_restorable, point.point_id)
        configuration = await asyncio.to_thread(_configuration, repository, point.point_id)
        board.doing("making the disks")
        disks = [(disk.disk_id, disk.size_bytes, disk.label) for disk in point.disks]
        target = await self._hypervisor.prepare_target(
            transfer.transfer_id, spec.placement, configuration, disks
        )
        remarks: list[Remark] = []
        try:
            if not target.committed:
                target = await self._write_and_commit(repository, point, target, board, cancel, remarks)
        except XenkeepError:
            await self._hypervisor.abort_target(target.name)
            raise
        return Outcome(Result(vm=target.vm, notices=tuple(remarks)))

    async def _write_and_commit(
        self,
        repository: Repository,
        point: RestorePoint,
        target: Target,
        board: Board,
        cancel: Cancellation,
        remarks: list[Remark],
    ) -> Target:
        for number in range(1, PASSES + 1):
            board.doing("writing the disks")
            room = asyncio.Semaphore(DISKS_AT_ONCE)
            async with asyncio.TaskGroup() as group:
                for disk in target.disks:
                    group.create_task(
                        self._write(room, repository, point, target, disk, board, cancel, remarks)
                    )
            board.doing("making the VM")
            try:
                return await self._hypervisor.commit_target(target.name)
            except Aborted as error:
                if number == PASSES:
                    raise
                remarks.append(
                    Remark("RESTORE_WRITTEN_AGAIN", f"All disks were written again: {error.message}")
                )
        raise AssertionError("unreachable")

    async def _write(
        self,
        room: asyncio.Semaphore,
        repository: Repository,
        point: RestorePoint,
        target: Target,
        disk: TargetDisk,
        board: Board,
        cancel: Cancellation,
        remarks: list[Remark],
    ) -> None:
        async with room:
            await asyncio.to_thread(
                self._write_in_thread, repository, point, target, disk, board, cancel, remarks
            )

    def _write_in_thread(
        self,
        repository: Repository,
        point: RestorePoint,
        target: Target,
        disk: TargetDisk,
        board: Board,
        cancel: Cancellation,
        remarks: list[Remark],
    ) -> None:
        def listen(progress: Progress) -> None:
            board.moved(
                disk.disk_id, total=progress.total, read=progress.read, resumed=0, stored=progress.read
            )

        extents = [
            Extent(found.offset, found.length)
            for found in repository.data_extents(point.point_id, disk.disk_id)
        ]
        board.expect(disk.disk_id, sum(extent.length for extent in extents))
        writer = self._disks.target(target.name, disk.disk_id, disk.size_bytes)
        try:
            for number in range(1, PASSES + 1):
                try:
                    writer.begin(extents)
                    repository.restore_disk(
                        point.point_id,
                        disk.disk_id,
                        writer,
                        options=self._options,
                        listener=listen,
                        cancel=cancel.event,
                    )
                    writer.finish()
                    return
                except (Unavailable, Aborted) as error:
                    if number == PASSES:
                        raise
                    text = f"Disk {disk.disk_id} was written again from its start: {error.message}"
                    remarks.append(Remark("DISK_WRITTEN_AGAIN", text))
        finally:
            writer.abort()
            remarks.extend(Remark(notice.code, notice.text) for notice in writer.notices())


def _configuration(repository: Repository, point_id: str) -> bytes:
    return b"".join(repository.read_stream(point_id, VM_CONFIGURATION))
