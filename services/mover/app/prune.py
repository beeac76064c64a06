"""Deleting what no restore point of a repository needs."""

from collections.abc import Callable
from datetime import timedelta

from services.mover.app.board import Board
from services.mover.app.cancellation import Cancellation, in_thread
from services.mover.app.shelf import Shelf
from services.mover.domain.capture import Remark
from services.mover.domain.outcome import Outcome
from services.mover.domain.transfer import Prune, Pruned, Result, Transfer
from services.mover.repository import BackupOptions, PruneOptions, PruneReport, Repository


class PruneRunner:
    """Killed or cancelled, the next prune of the repository goes on with what this one had planned."""

    def __init__(self, shelf: Shelf, grace: timedelta, writing: Callable[[], BackupOptions]) -> None:
        """``grace`` is for who does not say; ``writing`` says how hard to work at what is stored again."""
        self._shelf = shelf
        self._grace = grace
        self._writing = writing

    async def __call__(self, transfer: Transfer, spec: Prune, board: Board, cancel: Cancellation) -> Outcome:
        cancel.check()
        board.doing("opening the repository")
        repository = await self._shelf.repository(spec.repository_id)
        grace = self._grace if spec.grace is None else spec.grace
        options = PruneOptions(
            dry_run=spec.dry_run, grace_seconds=grace.total_seconds(), retire_through=spec.retire_through
        )
        report = await in_thread(cancel, _prune, repository, options, self._writing(), board, cancel)
        return Outcome(Result(pruned=_pruned(report), notices=tuple(_remarks(report))))


def _prune(
    repository: Repository, options: PruneOptions, writing: BackupOptions, board: Board, cancel: Cancellation
) -> PruneReport:
    def listen(activity: str, total: int, done: int) -> None:
        board.doing(activity)
        board.moved("", total=total, read=done)

    return repository.prune(options, writing=writing, listener=listen, cancel=cancel.event)


def _pruned(report: PruneReport) -> Pruned:
    return Pruned(
        deleted_packs=report.deleted_packs,
        deleted_bytes=report.deleted_bytes,
        repacked_packs=report.repacked_packs,
        stored_bytes=report.stored_bytes,
        waiting_packs=report.waiting_packs,
        waiting_points=report.waiting_points,
        revoked_points=report.revoked_points,
        purged_points=report.purged_points,
        locked_packs=report.locked_packs,
        locked_bytes=report.locked_bytes,
        locked_until=report.locked_until,
        retired_epochs=report.retired_epochs,
        old_epoch_packs=report.old_epoch_packs,
    )


def _remarks(report: PruneReport) -> list[Remark]:
    remarks = [Remark(code, text) for code, text in report.notices]
    if report.waiting_packs:
        text = (
            f"{report.waiting_packs} packs are left to the next prune: {len(report.waiting_points)} backups"
            " that began before this one may rely on them."
        )
        remarks.append(Remark("PRUNE_WAITS", text))
    return remarks
