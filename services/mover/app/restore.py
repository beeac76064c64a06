"""A restore: disks are made in the pool, written, and become a VM; or nothing stays."""

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from services.chassis.clock import Clock
from services.chassis.errors import (
    Aborted,
    DataLoss,
    DeadlineExceeded,
    FailedPrecondition,
    NotFound,
    ResourceExhausted,
    Unavailable,
    XenkeepError,
)
from services.mover.app.board import Board
from services.mover.app.cancellation import Cancellation, in_thread, unless_wanted
from services.mover.app.failing import cleaned_up
from services.mover.app.restore_job import Prepared, prepared, write_disk
from services.mover.app.shelf import Shelf
from services.mover.domain.capture import Remark
from services.mover.domain.facts import DamageFound
from services.mover.domain.names import target_name
from services.mover.domain.outcome import Outcome
from services.mover.domain.point import Damage
from services.mover.domain.repository import Registration
from services.mover.domain.source import Target, TargetDisk
from services.mover.domain.transfer import Restore, Result, Transfer
from services.mover.ports import BlockTarget
from services.mover.ports.neighbours import Disks, Hypervisor
from services.mover.repository import Repository, RestoreOptions

ROUNDS = 8
"""How often the disks are written from their start when the way to them, or the pool's memory of them, is
lost; with the pauses between, some three minutes beyond the patience of each connection."""
LONGEST_PAUSE = 60.0
DISKS_AT_ONCE = 2
SWEPT_LATER = "The hypervisor service removes what was made by itself."
_PASSING = (Unavailable, DeadlineExceeded, Aborted, ResourceExhausted)
_WRITE_AGAIN = frozenset({"DISK_NOT_WRITTEN", "WRITE_ENDPOINT_SPENT"})


@dataclass
class _Work:
    """What the steps of one restore share."""

    repository: Repository
    prepared: Prepared
    board: Board
    cancel: Cancellation
    remarks: list[Remark] = field(default_factory=list)


class RestoreRunner:
    """The transfer's id is the id of the restore target.

    Killed before the commit: the next attempt finds the target and writes its disks again. Killed after it:
    the next attempt finds it committed. A restore that fails leaves nothing in the pool.
    """

    def __init__(
        self, shelf: Shelf, hypervisor: Hypervisor, disks: Disks, options: RestoreOptions, clock: Clock
    ) -> None:
        self._shelf = shelf
        self._hypervisor = hypervisor
        self._disks = disks
        self._options = options
        self._clock = clock

    async def __call__(
        self, transfer: Transfer, spec: Restore, board: Board, cancel: Cancellation
    ) -> Outcome:
        """Raises DataLoss, before anything is made in the pool, when the point is known to be damaged."""
        name = target_name(spec.placement.pool, transfer.transfer_id)
        made = transfer.attempt > 1
        try:
            cancel.check()
            board.doing("opening the repository")
            registration = await self._shelf.registration(spec.repository_id)
            repository = await self._shelf.repository(registration.repository_id)
            with _damage_told(board, registration, spec.point_id):
                readable = await in_thread(cancel, prepared, repository, spec.point_id)
                work = _Work(repository, readable, board, cancel)
                board.keep(work.remarks)
                board.doing("making the disks")
                made = True
                target = await self._prepare(transfer, spec, work)
                if not target.committed:
                    target = await self._write_and_commit(target, work)
        except Exception as error:
            if made:
                await cleaned_up(error, self._abort(name), SWEPT_LATER)
            raise
        return Outcome(Result(vm=target.vm, notices=(*work.remarks, *target.notices)))

    async def _prepare(self, transfer: Transfer, spec: Restore, work: _Work) -> Target:
        point = work.prepared.point
        disks = [(disk.disk_id, disk.size_bytes, disk.label) for disk in point.disks]
        making = self._hypervisor.prepare_target(
            transfer.transfer_id, spec.placement, work.prepared.configuration, disks
        )
        try:
            return await unless_wanted(work.cancel, making)
        except FailedPrecondition as error:
            if error.reason != "TARGET_ABORTED":
                raise
            raise Aborted(
                "An earlier attempt of this transfer had failed and removed its disks.",
                reason="TARGET_GONE",
                hint="Start the restore again.",
            ) from error

    async def _write_and_commit(self, target: Target, work: _Work) -> Target:
        for number in range(1, ROUNDS + 1):
            try:
                work.board.doing("writing the disks")
                await self._write_all(target, work)
                work.board.doing("making the VM")
                return await self._hypervisor.commit_target(target.name)
            except XenkeepError as error:
                passing = isinstance(error, _PASSING) or error.reason in _WRITE_AGAIN
                if work.cancel.wanted or not passing or number == ROUNDS:
                    raise
                told = f"All disks were written again: {error.message}"
                work.remarks.append(Remark("RESTORE_WRITTEN_AGAIN", told))
                work.board.doing(f"waiting to write the disks again: {error.message}")
                await unless_wanted(work.cancel, self._clock.sleep(min(LONGEST_PAUSE, 2.0**number)))
        raise AssertionError("unreachable")

    async def _write_all(self, target: Target, work: _Work) -> None:
        """One round. The first failure stops all disks; nobody writes any more when this has returned."""
        frame_bytes = work.repository.chunk_bytes
        writers = await unless_wanted(work.cancel, self._disks.targets(target, frame_bytes))
        stop = work.cancel.part()
        room = asyncio.Semaphore(DISKS_AT_ONCE)
        try:
            async with asyncio.TaskGroup() as group:
                for disk in target.disks:
                    group.create_task(self._write(disk, writers[disk.disk_id], work, stop, room))
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None

    async def _write(
        self,
        disk: TargetDisk,
        writer: BlockTarget,
        work: _Work,
        stop: Cancellation,
        room: asyncio.Semaphore,
    ) -> None:
        async with room:
            try:
                await in_thread(
                    stop,
                    write_disk,
                    work.repository,
                    work.prepared.point.point_id,
                    disk.disk_id,
                    writer,
                    self._options,
                    work.board,
                    stop,
                )
            finally:
                work.remarks.extend(Remark(notice.code, notice.text) for notice in writer.notices())

    async def _abort(self, target: str) -> None:
        """A target that is not known is aborted."""
        with contextlib.suppress(NotFound):
            await self._hypervisor.abort_target(target)


@contextlib.contextmanager
def _damage_told(board: Board, registration: Registration, point_id: str) -> Iterator[None]:
    """Damage of the repository that a restore meets is news for others too."""
    try:
        yield
    except DataLoss as error:
        if about := error.metadata.get("object") or error.metadata.get("point"):
            damage = Damage(about, error.message, (point_id,))
            fact = DamageFound(registration.repository_id, registration.display_name, (damage,))
            board.learned(fact)
        raise
