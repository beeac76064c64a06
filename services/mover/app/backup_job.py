"""The part of a backup between the snapshot and the commit. It runs in a thread."""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace

from services.chassis.clock import Clock
from services.chassis.errors import FailedPrecondition, XenkeepError
from services.mover.app.backup_plan import DiskPlan, Plan, untrue, without_base
from services.mover.app.board import Board
from services.mover.app.cancellation import Cancellation
from services.mover.app.failed_disks import DiskFailed, Watched
from services.mover.app.point_records import describe, rfc3339
from services.mover.domain.capture import Remark
from services.mover.domain.point import Asset
from services.mover.domain.source import Source
from services.mover.domain.transfer import Backup
from services.mover.ports.neighbours import ReadableDisk
from services.mover.repository import (
    VM_CONFIGURATION,
    BackupOptions,
    BackupSession,
    Extent,
    Notice,
    Progress,
    Repository,
    RestorePoint,
)

UNUSABLE_BASE = frozenset({"BASE_POINT_UNUSABLE", "BASE_DISK_MISSING"})
DISKS_AT_ONCE = 2
"""Of one VM, so that a slow disk does not hold the others; each costs its buffers and threads."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What is read: an open source, how, and over what. ``extents`` and ``disks`` by disk id."""

    source: Source
    plan: Plan
    extents: Mapping[str, tuple[Extent, ...] | None]
    disks: Mapping[str, ReadableDisk]


@dataclass
class BackupJob:
    """``run`` once; then ``forget`` when nobody is to go on from the checkpoint."""

    repository: Repository
    transfer_id: str
    spec: Backup
    asset: Asset
    reading: Reading
    options: BackupOptions
    clock: Clock
    board: Board
    cancellation: Cancellation
    remarks: list[Remark]
    review: Callable[[], Sequence[Remark]]
    """Asked when everything has been read: what became of the source meanwhile."""
    resumed_bytes: int = 0
    _session: BackupSession | None = field(default=None, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _being_read: list[str] = field(default_factory=list, init=False)

    def run(self) -> RestorePoint:
        """Raises DiskFailed for what a disk raises, and what the engine raises; the disks are closed in any
        case."""
        try:
            with self._begin() as session:
                return self._fill(session)
        finally:
            for disk in self.reading.disks.values():
                disk.close()

    def forget(self) -> None:
        """Remove the checkpoint, if there is one of ours."""
        if self._session is not None:
            self._session.abort(forget=True)

    def _begin(self) -> BackupSession:
        plan = self.reading.plan
        try:
            session = self._begin_with(plan.base)
        except FailedPrecondition as error:
            if plan.base is None or error.reason not in UNUSABLE_BASE:
                raise
            self.reading = replace(self.reading, plan=without_base(plan, error.message))
            session = self._begin_with(None)
        self._session = session
        self.cancellation.when_wanted(session.cancel)
        for disk in self.reading.disks.values():
            self.cancellation.when_wanted(disk.close)
        return session

    def _begin_with(self, base: RestorePoint | None) -> BackupSession:
        return self.repository.begin_backup(
            self.transfer_id,
            base.point_id if base else None,
            transfer_id=self.transfer_id,
            options=self.options,
        )

    def _fill(self, session: BackupSession) -> RestorePoint:
        source = self.reading.source
        session.stream(VM_CONFIGURATION, [source.vm_configuration])
        self._all_disks(session)
        lost_and_found = sum(disk.resumed_from_bytes for disk in self.reading.disks.values())
        self.board.doing("asking what became of the VM's disks meanwhile")
        self.remarks.extend(self.review())
        self.board.doing("committing the restore point")
        changed = {disk.disk_id: disk.changed_bytes for disk in source.disks}
        description = describe(
            source,
            self.spec,
            self.asset,
            changed,
            self.remarks,
            rfc3339(self.clock.now()),
            compression_level=self.options.level,
        )
        self.resumed_bytes = max(lost_and_found, session.resumed_from_bytes)
        order = tuple(planned.disk.disk_id for planned in self.reading.plan.disks)
        return session.commit(replace(description, late_notices=self._store_notices, disk_order=order))

    def _store_notices(self) -> list[Notice]:
        return [Notice(remark.code, remark.message) for remark in self.board.remarks()]

    def _all_disks(self, session: BackupSession) -> None:
        """Several at a time, begun in their order. The first failure stops them all and is raised."""
        with ThreadPoolExecutor(DISKS_AT_ONCE, thread_name_prefix="disk") as pool:
            reading = [pool.submit(self._one_disk, session, planned) for planned in self.reading.plan.disks]
            failures = _failures(wait(reading, return_when=FIRST_EXCEPTION).done)
            if failures:
                for waiting in reading:
                    waiting.cancel()
                session.cancel()
                for disk in self.reading.disks.values():
                    disk.close()
        # That a disk failed stops the others, and one of those may have said so before it did.
        failures = [*(error for error in _failures(reading) if isinstance(error, DiskFailed)), *failures]
        if failures:
            raise failures[0]

    def _one_disk(self, session: BackupSession, planned: DiskPlan) -> None:
        name = f"{planned.disk.device} ({planned.disk.display_name})"
        self._tell_what_is_read(self._being_read.append, name)
        self._read(session, planned)
        self._tell_what_is_read(self._being_read.remove, name)

    def _tell_what_is_read(self, change: Callable[[str], None], name: str) -> None:
        with self._lock:
            change(name)
            if self._being_read:
                several = "s" if len(self._being_read) > 1 else ""
                self.board.doing(f"reading disk{several} {', '.join(self._being_read)}")

    def _read(self, session: BackupSession, planned: DiskPlan) -> None:
        disk = planned.disk
        if planned.remark is not None:
            self.remarks.append(planned.remark)
        request = planned.request(self.reading.source, self.reading.extents[disk.disk_id])
        connected = self.reading.disks[disk.disk_id]

        def listen(progress: Progress) -> None:
            self.board.moved(disk.disk_id, total=progress.total, read=progress.read, resumed=progress.resumed)
            self.board.stored(progress.stored)

        watched = Watched(connected)
        try:
            differs_at = session.compare_unchanged(request, watched).differs_at
            if differs_at is not None:
                planned = untrue(planned, differs_at)
                self.remarks.extend([planned.remark] if planned.remark is not None else [])
                self.board.expect(disk.disk_id, disk.size_bytes)
                request = planned.request(self.reading.source, None)
            session.disk(request, watched, listen)
        except XenkeepError as error:
            if watched.failure is None or self.cancellation.wanted:
                raise
            raise DiskFailed(disk, watched.failure) from error
        finally:
            connected.close()
            self.remarks.extend(Remark(notice.code, notice.text) for notice in connected.notices())


def _failures(ended: Iterable[Future[None]]) -> list[BaseException]:
    return [error for each in ended if not each.cancelled() and (error := each.exception()) is not None]
