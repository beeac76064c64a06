"""Saving the progress of a session: index segments as packs pile up, checkpoints every few seconds."""

import threading
from dataclasses import dataclass
from typing import Final

from services.mover.repository.checkpoint import Checkpoint, CheckpointLog, DiskCheckpoint
from services.mover.repository.context import Context, Listener
from services.mover.repository.diskbackup import DiskBackup
from services.mover.repository.indexing import index_packs
from services.mover.repository.mapwriter import MapWriter
from services.mover.repository.pipeline import Pipeline

_SEGMENT_PACKS: Final = 64
_META_CUT_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class TrackedDisk:
    """A disk whose progress belongs into checkpoints; ``earlier`` bytes were read by attempts before."""

    fingerprint: str
    target: MapWriter
    backup: DiskBackup
    earlier: int


class Saver:
    """Writes what is durable. Its thread is woken when a pack is stored and the last saving is old enough."""

    def __init__(
        self,
        context: Context,
        point_id: str,
        base_point: str | None,
        transfer_id: str | None,
        seconds: float,
        on_notice: Listener,
    ) -> None:
        self.segments: list[str] = []
        self.resumed = False
        self._context = context
        self._point_id = point_id
        self._base_point = base_point
        self._transfer_id = transfer_id
        self._seconds = seconds
        self._notice = on_notice
        self._log = CheckpointLog(context, transfer_id, on_notice) if transfer_id is not None else None
        self._resumed: dict[str, DiskCheckpoint] = {}
        self._tracked: dict[str, TrackedDisk] = {}
        self._saving = threading.Lock()
        self._last = context.time.monotonic()
        self._due = self._ending = False

    def take_over(self, pipeline: Pipeline) -> None:
        """Own the transfer: load what an earlier attempt saved, and save it again under the next number."""
        self._pipeline = pipeline
        self._wake = pipeline.flow.condition()
        if self._log is None:
            return
        found = self._log.load()
        if found is not None and (found.point_id, found.base_point) != (self._point_id, self._base_point):
            self._notice(
                "CHECKPOINT_DISCARDED", "The checkpoint is of another point or base; it starts over."
            )
        elif found is not None:
            self.resumed = True
            for record in self._context.recover_packs(found.segments, found.unindexed):
                pipeline.ledger.recovered(record)
            pipeline.stored_bytes = found.stored_bytes
            self.segments.extend(found.segments)
            self._write_segments(0)
            self._resumed = found.disks
        self._checkpoint()

    def start(self) -> None:
        self._pipeline.flow.start("save", self._run)

    def resumable(self, disk_id: str, fingerprint: str) -> DiskCheckpoint | None:
        """What an earlier attempt did of this very disk; None, with a notice, when it was another request."""
        found = self._resumed.get(disk_id)
        if found is None or found.fingerprint == fingerprint:
            return found
        self._notice(
            "CHECKPOINT_DISCARDED",
            f"Disk {disk_id} is read from another snapshot or with other changes; it starts over.",
        )
        return None

    def track(self, disk_id: str, disk: TrackedDisk) -> None:
        with self._saving:
            self._tracked[disk_id] = disk

    def pack_stored(self) -> None:
        """May be time to save."""
        if self._context.time.monotonic() - self._last >= self._seconds:
            with self._wake:
                self._due = True
                self._wake.notify_all()

    def save_all(self) -> None:
        """Index segments for every pack, and a checkpoint, which fails when the transfer was taken over."""
        with self._saving:
            self._write_segments(0)
            self._checkpoint()

    def index_all(self) -> None:
        """Index segments for every pack, so that the next backup finds what this one leaves."""
        with self._saving:
            self._write_segments(0)

    def end(self) -> None:
        with self._wake:
            self._ending = True
            self._wake.notify_all()

    def forget(self) -> None:
        if self._log is not None:
            self._log.remove()

    def _run(self) -> None:
        while True:
            with self._wake:
                self._pipeline.flow.wait(self._wake, lambda: self._due or self._ending)
                if self._ending:
                    return
                self._due = False
            with self._saving:
                self._write_segments(_SEGMENT_PACKS)
                self._checkpoint()
            self._pipeline.cut_meta(_META_CUT_BYTES)

    def _write_segments(self, more_than: int) -> None:
        records = self._pipeline.ledger.unindexed()
        if len(records) <= more_than:
            return
        self.segments += index_packs(self._context, records, self._pipeline.ledger.indexed)

    def _checkpoint(self) -> None:
        self._last = self._context.time.monotonic()
        if self._log is None or self._transfer_id is None:
            return
        durable = self._pipeline.ledger.is_durable
        disks = {
            disk_id: DiskCheckpoint(
                disk_id,
                disk.fingerprint,
                disk.target.progress(durable),
                disk.backup.read_bytes + disk.earlier,
            )
            for disk_id, disk in self._tracked.items()
        }
        self._log.write(
            Checkpoint(
                self._transfer_id,
                self._point_id,
                self._base_point,
                tuple(record.name for record in self._pipeline.ledger.unindexed()),
                tuple(self.segments),
                self._resumed | disks,
                self._pipeline.stored_bytes,
                self._context.now(),
            )
        )
