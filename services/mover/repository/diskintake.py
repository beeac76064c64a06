"""The disks of one backup."""

import hashlib
import threading
from collections.abc import Sequence
from typing import Final

from services.chassis.errors import DataLoss, FailedPrecondition, InvalidInput
from services.mover.repository.context import Context, Listener
from services.mover.repository.diskbackup import DiskBackup
from services.mover.repository.diskmap import DiskMap, Shape
from services.mover.repository.extents import touched
from services.mover.repository.flow import Stopped
from services.mover.repository.format import canonical
from services.mover.repository.format.names import MAX_DISK_BYTES, MAX_DISKS
from services.mover.repository.format.point import Disk, RestorePoint
from services.mover.repository.mapwriter import MapProgress, MapWriter
from services.mover.repository.pipeline import Pipeline
from services.mover.repository.plan import Planner
from services.mover.repository.ports import BlockSource, ProgressListener
from services.mover.repository.request import FULL, INCREMENTAL, BackupOptions, DiskRequest
from services.mover.repository.resume import sound_progress
from services.mover.repository.saver import Saver, TrackedDisk

_BASE_DAMAGE: Final = ("REPOSITORY_DAMAGED", "BLOB_MISSING")


class DiskIntake:
    """Every disk by its id. One that failed keeps the point from being committed."""

    def __init__(
        self,
        context: Context,
        base: RestorePoint | None,
        pipeline: Pipeline,
        saver: Saver,
        options: BackupOptions,
        on_notice: Listener,
    ) -> None:
        self._context = context
        self._base = base
        self._pipeline = pipeline
        self._flow = pipeline.flow
        self._saver = saver
        self._options = options
        self._notice = on_notice
        self._disks: dict[str, Disk | None] = {}
        self._lock = threading.Lock()
        self.read_bytes = 0
        self.resumed_bytes = 0

    def finished(self, order: Sequence[str] = ()) -> tuple[Disk, ...]:
        """Those in ``order`` first, the others as they were begun."""
        ids = dict.fromkeys((*(disk_id for disk_id in order if disk_id in self._disks), *self._disks))
        return tuple(disk for disk in map(self._disks.__getitem__, ids) if disk is not None)

    @property
    def unfinished(self) -> list[str]:
        return [disk_id for disk_id, disk in self._disks.items() if disk is None]

    def take(self, request: DiskRequest, source: BlockSource, listener: ProgressListener | None) -> Disk:
        """Returns when everything of the disk is read and on its way to packs; raises as the session does."""
        self._require_new(request)
        shape = Shape(request.size_bytes, self._context.chunk_bytes)
        base = self._base_map(request, shape)
        try:
            heal = self._damaged_chunks(request, base)
        except DataLoss as error:
            self._flow.fail(error)
            self._require_sound_base(INCREMENTAL)
            raise
        work = touched(request.extents, shape, base.shape if base else None, heal)
        fingerprint = self._fingerprint(request, heal)
        resume = self._saver.resumable(request.disk_id, fingerprint) if request.source_ref else None
        target = MapWriter(self._pipeline.writer, shape, base)
        progress = self._sound(resume.progress, request, shape) if resume is not None else None
        if progress is not None:
            target.adopt(progress.pages)
        backup = DiskBackup(
            flow=self._flow,
            source=source,
            shape=shape,
            planner=Planner(work.chunks(), shape, target, progress, incremental=base is not None),
            target=target,
            writer=self._pipeline.writer,
            base=self._context.reader,
            readers=self._options.readers,
            workers=self._options.workers,
            buffers=self._options.buffers,
            total_bytes=work.total_bytes,
            listener=listener,
            on_damage=self._base_damaged,
        )
        earlier = resume.read_bytes if resume else 0
        self._disks[request.disk_id] = None
        self._saver.track(request.disk_id, TrackedDisk(fingerprint, target, backup, earlier))
        disk = self._run(request, backup, target, earlier, INCREMENTAL if base is not None else FULL)
        self._disks[request.disk_id] = disk
        return disk

    def _run(
        self, request: DiskRequest, backup: DiskBackup, target: MapWriter, earlier: int, level: str
    ) -> Disk:
        try:
            backup.run()
            self._flow.check()
            root = target.finish()
        except (Stopped, DataLoss) as error:
            self._flow.fail(error)
            self._require_sound_base(level)
            self._flow.raise_failure()
            raise
        with self._lock:
            self.read_bytes += backup.read_bytes + earlier
            self.resumed_bytes += backup.resumed_bytes
        return Disk(
            disk_id=request.disk_id,
            label=request.label,
            size_bytes=request.size_bytes,
            root=root,
            level=level,
            reason=request.reason,
            tracking_ref=request.tracking_ref,
            statistics={
                "read_bytes": backup.read_bytes + earlier,
                "resumed_bytes": backup.resumed_bytes,
            },
        )

    def _damaged_chunks(self, request: DiskRequest, base: DiskMap | None) -> frozenset[int]:
        heal = self._context.damaged_chunks(base) if base is not None else frozenset()
        if heal:
            self._notice("HEALING", f"{len(heal)} damaged chunks of disk {request.disk_id} are read again.")
        return heal

    def _sound(self, progress: MapProgress, request: DiskRequest, shape: Shape) -> MapProgress:
        pages = DiskMap(self._context.reader, shape, None, self._context.header.blocks_per_chunk)
        sound, lost = sound_progress(progress, self._pipeline.ledger, pages)
        if lost:
            message = f"{lost} items of the checkpoint of disk {request.disk_id} are lost and read again."
            self._notice("CHECKPOINT_INCOMPLETE", message)
        return sound

    def _fingerprint(self, request: DiskRequest, heal: frozenset[int]) -> str:
        extents = hashlib.sha256()
        for extent in sorted(request.extents or ()):
            extents.update(f"{extent.offset}+{extent.length},".encode())
        asked = {
            "base": self._base.point_id if self._base else None,
            "base_disk": request.base_disk,
            "disk": request.disk_id,
            "extents": extents.hexdigest() if request.extents is not None else None,
            "heal": sorted(heal),
            "size_bytes": request.size_bytes,
            "source": request.source_ref,
        }
        return hashlib.sha256(canonical.encode(asked)).hexdigest()

    def _base_map(self, request: DiskRequest, shape: Shape) -> DiskMap | None:
        if request.base_disk is None:
            return None
        disk = self._base.disk(request.base_disk) if self._base is not None else None
        if disk is None:
            raise FailedPrecondition(
                f"The base point has no disk {request.base_disk}.",
                reason="BASE_DISK_MISSING",
                hint="Take a full backup of this disk.",
            )
        if disk.size_bytes > shape.size_bytes:
            raise FailedPrecondition(
                f"Disk {request.disk_id} is smaller than in the base point.",
                reason="DISK_SHRANK",
                hint="Take a full backup of this disk.",
            )
        return self._context.disk_map(disk)

    def _require_new(self, request: DiskRequest) -> None:
        if request.disk_id in self._disks or len(self._disks) >= MAX_DISKS:
            raise InvalidInput(
                f"Disk {request.disk_id} was given already, or there are more than {MAX_DISKS}.",
                reason="DISK_TWICE",
                hint="Give each disk of the asset once.",
            )
        if not 0 <= request.size_bytes <= MAX_DISK_BYTES:
            raise InvalidInput(
                f"A disk cannot have {request.size_bytes} bytes.",
                reason="BAD_DISK_SIZE",
                hint="Give its size in bytes.",
            )

    def _base_damaged(self, error: DataLoss) -> None:
        self._notice("HEALING", f"{error.message} The chunk was read from the source instead.")
        self._context.quarantine(error)

    def _require_sound_base(self, level: str) -> None:
        """Raises FailedPrecondition when the failure is that the base's map cannot be read."""
        error = self._flow.failure
        if level == INCREMENTAL and isinstance(error, DataLoss) and error.reason in _BASE_DAMAGE:
            self._context.quarantine(error)
            raise FailedPrecondition(
                f"The base point is damaged: {error.message}",
                reason="BASE_POINT_DAMAGED",
                hint="Take a full backup; it heals what it meets.",
                metadata=error.metadata,
            ) from error
