"""A repository: what can be done with one."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from services.chassis.errors import AlreadyExists
from services.mover.repository.checkpoint import remove_checkpoints
from services.mover.repository.context import Context
from services.mover.repository.copying.copy import copy_points
from services.mover.repository.copying.healing import HealReport, heal_from
from services.mover.repository.copying.report import CopyListener, CopyOptions, CopyReport
from services.mover.repository.features import require_writable
from services.mover.repository.identity import keep_same_repository, require_keys
from services.mover.repository.indexing import sync_index
from services.mover.repository.indexrebuilding import RebuildListener, Rebuilt, adopt_packs, rebuild_index
from services.mover.repository.indexrewriting import compact_index
from services.mover.repository.leases import take_lease
from services.mover.repository.ownerkeys import RepositoryKeys
from services.mover.repository.points import (
    read_base,
    require_new,
)
from services.mover.repository.pruning.prune import Prune
from services.mover.repository.pruning.report import PruneListener, PruneOptions, PruneReport
from services.mover.repository.readable import ReadableRepository
from services.mover.repository.request import BackupOptions
from services.mover.repository.reserve import load_ballast
from services.mover.repository.sampling import Sample
from services.mover.repository.session import BackupSession
from services.mover.repository.store import Store
from services.mover.repository.stores.append_only import require_deletions
from services.mover.repository.trash import (
    delete_point,
    require_not_in_trash,
    undelete_point,
)
from services.mover.repository.verification import Verification
from services.mover.repository.verify import Verifying


class Repository(ReadableRepository):
    """An opened repository. Safe to use from several threads; close it, or use it as a context manager."""

    def __init__(self, context: Context, notices: list[tuple[str, str]]) -> None:
        super().__init__(context, notices)
        self._swept = False
        self.keys = RepositoryKeys(context, self._prepare_writing)

    def begin_backup(
        self,
        point_id: str,
        base_point: str | None = None,
        *,
        transfer_id: str | None = None,
        options: BackupOptions | None = None,
    ) -> BackupSession:
        """Start the backup that makes ``point_id``, or resume it by its ``transfer_id``.

        Raises AlreadyExists when the point is committed (the first try of a retry succeeded),
        FailedPrecondition when the base point cannot be used, Aborted when another mover has the transfer.
        """
        context = self._context
        try:
            require_new(context, point_id)
        except AlreadyExists:
            if transfer_id is not None:
                require_writable(context.store, context.header)
                remove_checkpoints(context, transfer_id)
            raise
        require_not_in_trash(context, point_id)
        self._prepare_writing()
        require_keys(context)
        lease = take_lease(context, point_id)
        try:
            sync_index(context)
            if not lease.plans.ids:  # whoever prunes replaces index segments as well
                compact_index(context)
            base = read_base(context, base_point) if base_point is not None else None
            return BackupSession(context, point_id, base, transfer_id, options or BackupOptions(), lease)
        except BaseException:
            lease.release()
            raise

    def delete_point(
        self, point_id: str, *, keep: int = 1, purge: bool = False, siblings: Sequence[str] = ()
    ) -> None:
        """Put a point into the trash, or with ``purge`` delete it for good; a prune frees its space.

        Raises NotFound, and FailedPrecondition when fewer than ``keep`` other good points of its asset would
        be left; ``siblings`` are looked at first. What cannot be read at all is deleted for good.
        """
        require_deletions(self._context.store)
        self._prepare_writing()
        delete_point(self._context, point_id, keep=keep, purge=purge, siblings=siblings)

    def undelete_point(self, point_id: str) -> None:
        """Take a point back out of the trash; raises NotFound when it is not there."""
        require_deletions(self._context.store)
        self._prepare_writing()
        undelete_point(self._context, point_id)

    def prune(
        self,
        options: PruneOptions | None = None,
        *,
        writing: BackupOptions | None = None,
        listener: PruneListener | None = None,
        cancel: threading.Event | None = None,
    ) -> PruneReport:
        """Delete what no point needs, while others write; ``writing`` says how hard to work at repacking.

        Raises FailedPrecondition when it cannot be known what is needed, Cancelled, and what the store
        raises. Whatever ends it, the repository is sound, and the next prune goes on.
        """
        options = options or PruneOptions()
        self._require_known()
        if not options.dry_run:
            require_deletions(self._context.store)
            self._prepare_writing()
        notices = len(self._notices)
        report = Prune(self._context, options, writing or BackupOptions(), listener, cancel).run()
        report.notices = self._notices[notices:]
        return report

    def copy_to(
        self,
        target: Store,
        cache_dir: Path,
        options: CopyOptions | None = None,
        *,
        listener: CopyListener | None = None,
        cancel: threading.Event | None = None,
    ) -> CopyReport:
        """Bring the chosen points to a place that is empty or a copy of this repository, sealed as they are.

        ``cache_dir`` keeps what is known of the place's index. Nothing is removed there. Raises InvalidInput
        or FailedPrecondition for a place that cannot take them, Cancelled, Aborted when another copy goes on
        with it, and what the place raises. Whatever ends it, the next one goes on.
        """
        self._require_known()
        notices: list[tuple[str, str]] = []

        def note(code: str, message: str) -> None:
            notices.append((code, message))

        report = copy_points(
            self._context, target, cache_dir, options or CopyOptions(), note, listener, cancel
        )
        report.notices = notices
        return report

    def heal_from(
        self,
        copy: Store,
        cache_dir: Path,
        writing: BackupOptions | None = None,
        *,
        listener: Callable[[int, int], None] | None = None,
        cancel: threading.Event | None = None,
    ) -> HealReport:
        """Store again, from a copy of this repository, what only damaged packs hold; verify first.

        Points that need it are whole again at once; a prune removes the damaged packs. ``listener`` hears of
        damaged packs and of those done. Raises NotFound and FailedPrecondition for a place that is no copy,
        Cancelled, and what either store raises.
        """
        self._prepare_writing()
        sync_index(self._context)
        return heal_from(self._context, copy, cache_dir, writing or BackupOptions(), listener, cancel)

    def verify(
        self,
        *,
        full: bool,
        sample: Sample | None = None,
        workers: int | None = None,
        listener: Callable[[int, int], None] | None = None,
        cancel: threading.Event | None = None,
        notes: Path | None = None,
    ) -> Verification:
        """Check every object (``full``: decode every blob) and every point; damaged packs are quarantined.

        With a ``sample`` only some of the packs are read; then no point is called sound. ``workers`` hold a
        pack each; None: as many as there are cores, six at most. ``notes`` is a file, another one for each
        depth, by which the next one goes on when this one does not end.
        """
        self._require_known()
        return Verifying(
            self._context,
            full=full,
            sample=sample,
            workers=workers,
            listener=listener,
            cancel=cancel,
            notes=notes,
        ).run()

    def rebuild_index(
        self, *, listener: RebuildListener | None = None, cancel: threading.Event | None = None
    ) -> Rebuilt:
        """Make the repository's index again from its packs alone, while others write; raises Cancelled."""
        self._prepare_writing()
        return rebuild_index(self._context, listener, cancel)

    def adopt_packs(self) -> int:
        """List in the index those packs that no segment lists, as when segments are lost; how many."""
        sync_index(self._context)
        return adopt_packs(self._context)

    def _prepare_writing(self) -> None:
        """Refuse what must not be written to; sweep once, since a sweep walks the whole store."""
        require_writable(self._context.store, self._context.header)
        keep_same_repository(self._context)
        if not self._swept:
            self._context.store.sweep()
            load_ballast(self._context)
            self._swept = True
