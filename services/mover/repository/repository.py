"""A repository: what can be done with one."""

import sqlite3
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from services.chassis.errors import AlreadyExists, DataLoss, NotFound, ResourceExhausted
from services.mover.repository.checkpoint import remove_checkpoints
from services.mover.repository.compare import compare_disk
from services.mover.repository.context import Context
from services.mover.repository.copying.copy import copy_points
from services.mover.repository.copying.healing import Heal, HealReport
from services.mover.repository.copying.report import CopyListener, CopyOptions, CopyReport
from services.mover.repository.copying.target import open_copy
from services.mover.repository.damage import recorded_damage
from services.mover.repository.extents import Extent
from services.mover.repository.features import require_openable, require_writable
from services.mover.repository.format.point import RestorePoint
from services.mover.repository.format.stream import StreamRef
from services.mover.repository.identity import keep_same_repository, require_keys, require_same_repository
from services.mover.repository.indexing import sync_index
from services.mover.repository.indexrebuilding import RebuildListener, Rebuilt, adopt_packs, rebuild_index
from services.mover.repository.indexrewriting import compact_index
from services.mover.repository.leases import take_lease
from services.mover.repository.ownerkeys import RepositoryKeys
from services.mover.repository.points import (
    listed_points,
    read_base,
    read_disk,
    read_point,
    require_new,
    require_still_there,
)
from services.mover.repository.ports import BlockSource, BlockTarget, ProgressListener
from services.mover.repository.pruning.prune import Prune
from services.mover.repository.pruning.report import PruneListener, PruneOptions, PruneReport
from services.mover.repository.request import BackupOptions
from services.mover.repository.reserve import load_ballast
from services.mover.repository.restorable import known_damage, require_restorable
from services.mover.repository.restore import Reached, RestoreOptions, data_extents, read_range, restore_disk
from services.mover.repository.sampling import Sample
from services.mover.repository.session import BackupSession
from services.mover.repository.store import Store
from services.mover.repository.stores.append_only import require_deletions
from services.mover.repository.streamreader import read_stream
from services.mover.repository.trash import (
    Trashed,
    delete_point,
    require_not_in_trash,
    trashed,
    undelete_point,
)
from services.mover.repository.usage.needs import Needs
from services.mover.repository.usage.report import Usage, UsageListener
from services.mover.repository.usage.survey import Survey
from services.mover.repository.verification import Verification
from services.mover.repository.verify import Verifying


@dataclass(frozen=True, slots=True)
class Statistics:
    """Sizes in bytes; ``free_bytes`` None when the store cannot tell."""

    points: int
    packs: int
    pack_bytes: int
    blobs: int
    free_bytes: int | None


class Repository:
    """An opened repository. Safe to use from several threads; close it, or use it as a context manager."""

    def __init__(self, context: Context, notices: list[tuple[str, str]]) -> None:
        self._context = context
        self._notices = notices
        self._swept = False
        self.keys = RepositoryKeys(context, self._prepare_writing)

    @property
    def repository_id(self) -> str:
        """32 hexadecimal digits. A mirror has the same id as its original."""
        return self._context.header.repository_id.hex()

    @property
    def chunk_bytes(self) -> int:
        return self._context.chunk_bytes

    @property
    def created_time(self) -> str:
        return self._context.header.created_time

    @property
    def notices(self) -> list[tuple[str, str]]:
        """Code and sentence of everything that was less than expected since opening."""
        return list(self._notices)

    def close(self) -> None:
        """Also overwrites the keys in memory."""
        self._context.index.close()
        self._context.keys.wipe()

    def __enter__(self) -> "Repository":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

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

    def require_there(self) -> None:
        """Raises FailedPrecondition when the place was emptied, or holds another repository by now."""
        require_same_repository(self._context)

    def list_points(self) -> list[str]:
        """Ids of all committed points, sorted."""
        return listed_points(self._context)

    def get_point(self, point_id: str) -> RestorePoint:
        """Raises NotFound, or DataLoss when the point object is damaged."""
        return read_point(self._context, point_id)

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

    def list_trash(self) -> list[Trashed]:
        """Deleted points that can still be taken back, the oldest first.

        A copy of a point that is there is what a deletion left that died, or was refused.
        """
        copies = sorted(trashed(self._context), key=lambda copy: (copy.deleted_time, copy.point_id))
        there = set(listed_points(self._context)) if copies else set()
        return [copy for copy in copies if copy.point_id not in there]

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
        notices: list[tuple[str, str]] = []

        def note(code: str, message: str) -> None:
            notices.append((code, message))

        there = open_copy(self._context, copy, cache_dir, note)
        try:
            report = Heal(self._context, there, writing or BackupOptions(), listener, cancel).run()
        finally:
            there.index.close()
        report.notices = notices
        return report

    def known_damage(self, point_id: str, disk_ids: Collection[str] | None = None) -> str:
        """What is known to keep the point, or these disks of it, from being restored; empty when nothing is.

        Reads the point; walks its maps only while some pack is known to be damaged.
        """
        return known_damage(self._context, point_id, disk_ids)

    def data_extents(self, point_id: str, disk_id: str) -> list[Extent]:
        """What a restore of the disk will write, ascending and apart; every other byte is zero."""
        self._require_known()
        disk = read_disk(self._context, point_id, disk_id)
        return list(data_extents(self._context.disk_map(disk)))

    def restore_disk(
        self,
        point_id: str,
        disk_id: str,
        target: BlockTarget,
        *,
        options: RestoreOptions | None = None,
        listener: ProgressListener | None = None,
        cancel: threading.Event | None = None,
        reached: Reached | None = None,
    ) -> int:
        """Write the disk's ``data_extents`` to ``target``, from where an earlier attempt had ``reached``;
        bytes written.

        Raises DataLoss, before the first write when the damage is known; never writes zeros for lost data.
        """
        self._require_known()
        disk = read_disk(self._context, point_id, disk_id)
        sync_index(self._context)
        options, reached = options or RestoreOptions(), reached or Reached()
        return restore_disk(self._context, point_id, disk, target, options, listener, cancel, reached)

    def compare_disk(
        self,
        point_id: str,
        disk_id: str,
        source: BlockSource,
        listener: Callable[[int], None] | None = None,
    ) -> int:
        """Read what ``data_extents`` names from ``source``; bytes compared.

        Raises DataLoss where it is not the disk's content. What lies between the extents is not looked at.
        """
        self._require_known()
        disk = read_disk(self._context, point_id, disk_id)
        return compare_disk(self._context, point_id, disk, source, listener)

    def require_restorable(self, point_id: str, disk_ids: Collection[str] | None = None) -> None:
        """Raises DataLoss naming what is lost when a disk or stream is known not to be restorable.

        With ``disk_ids`` these disks are looked at, and no stream.
        """
        self._require_known()
        require_restorable(self._context, point_id, disk_ids)

    def read_disk(self, point_id: str, disk_id: str, offset: int, length: int) -> bytes:
        """Bytes of a disk; raises InvalidInput when the range is not on it."""
        disk = read_disk(self._context, point_id, disk_id)
        return read_range(self._context, disk, offset, length)

    def read_stream(
        self, point_id: str, name: str, offset: int = 0, length: int | None = None
    ) -> Iterator[bytes]:
        """Bytes of the point's stream ``name`` in order: ``length`` from ``offset``, or to the end.

        Reads only the pieces it needs. Raises NotFound, InvalidInput when the range is not in the stream, and
        DataLoss when a piece is damaged; what is given out before that is right.
        """
        self._require_known()
        point = self.get_point(point_id)
        ref: StreamRef | None = point.streams.get(name)
        if ref is None:
            raise NotFound(
                f"Restore point {point_id} has no stream {name!r}.",
                reason="STREAM_MISSING",
                hint=f"It has: {', '.join(sorted(point.streams)) or 'none'}.",
            )
        return self._quarantining(point_id, read_stream(self._context.reader, ref, offset, length))

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

    def note(self, code: str, message: str) -> None:
        """Add to ``notices``."""
        self._context.on_notice(code, message)

    def damaged_packs(self) -> int:
        """How many packs are known to be damaged."""
        return sum(1 for _ in recorded_damage(self._context.store))

    def survey(
        self,
        folder: Path,
        *,
        listener: UsageListener | None = None,
        cancel: threading.Event | None = None,
    ) -> Usage:
        """What takes how much room: of the whole, of each asset, point and day; others may write meanwhile.

        Walks every point. ``folder`` has room for some 50 bytes a blob, for as long as it takes. Raises
        Cancelled, ResourceExhausted when that room is not there, and what the store raises.
        """
        self._require_known()
        try:
            with Needs(folder) as needs:
                return Survey(self._context, needs, self._context.time.now(), listener, cancel).run()
        except (sqlite3.Error, OSError) as error:
            raise ResourceExhausted(
                f"There is no room for the survey in {folder}: {error}.",
                reason="SURVEY_NO_ROOM",
                hint="Free space there, and ask again; the repository is not affected.",
            ) from error

    def statistics(self) -> Statistics:
        self._require_known()
        packs, pack_bytes, blobs = self._context.index.totals()
        return Statistics(len(self.list_points()), packs, pack_bytes, blobs, self._context.store.free_bytes())

    def _quarantining(self, point_id: str, parts: Iterator[bytes]) -> Iterator[bytes]:
        try:
            yield from parts
        except DataLoss as error:
            require_still_there(self._context, point_id)
            self._context.quarantine(error)
            raise

    def _require_known(self) -> None:
        """A mover has it open for months: meanwhile a later release may have switched a feature on."""
        require_openable(self._context.store)

    def _prepare_writing(self) -> None:
        """Refuse what must not be written to; sweep once, since a sweep walks the whole store."""
        require_writable(self._context.store, self._context.header)
        keep_same_repository(self._context)
        if not self._swept:
            self._context.store.sweep()
            load_ballast(self._context)
            self._swept = True
