"""One backup: disks and streams go in, one restore point comes out, or nothing."""

import hashlib
from collections.abc import Iterable

from services.chassis.errors import Aborted, Cancelled, DataLoss, FailedPrecondition, InvalidInput
from services.mover.repository.context import Context
from services.mover.repository.diskbackup import DiskBackup
from services.mover.repository.diskmap import DiskMap, Shape
from services.mover.repository.extents import touched
from services.mover.repository.flow import Stopped
from services.mover.repository.format import canonical
from services.mover.repository.format.names import MAX_DISK_BYTES, MAX_DISKS, point_name
from services.mover.repository.format.point import Disk, Notice, RestorePoint, encode_body, public_part
from services.mover.repository.format.stream import StreamRef
from services.mover.repository.index import PackInfo
from services.mover.repository.mapwriter import MapProgress, MapWriter
from services.mover.repository.pipeline import Pipeline
from services.mover.repository.plan import Planner
from services.mover.repository.ports import BlockSource, ProgressListener
from services.mover.repository.request import FULL, INCREMENTAL, BackupOptions, DiskRequest, PointDescription
from services.mover.repository.resume import sound_progress
from services.mover.repository.saver import Saver, TrackedDisk
from services.mover.repository.stream import store_stream

_BASE_DAMAGE = ("REPOSITORY_DAMAGED", "BLOB_MISSING")


class BackupSession:
    """Made by ``Repository.begin_backup``. A context manager: leaving it without a commit aborts.

    The first failure, of whichever thread, stops everything and is raised by the call in progress. What was
    stored without a commit is harmless, and found again by deduplication or through the checkpoint.
    """

    def __init__(
        self,
        context: Context,
        point_id: str,
        base: RestorePoint | None,
        transfer_id: str | None,
        options: BackupOptions,
    ) -> None:
        self._context = context
        self._point_id = point_id
        self._base = base
        self._options = options
        self._notices: list[Notice] = []
        self._disks: dict[str, Disk | None] = {}
        self._streams: dict[str, StreamRef] = {}
        self._read_bytes = 0
        self._resumed_bytes = 0
        self._committed = False
        base_id = base.point_id if base else None
        seconds = options.checkpoint_seconds
        self._saver = Saver(context, point_id, base_id, transfer_id, seconds, self.note)
        self._pipeline = Pipeline(context, options, self._pack_missing, self._saver.pack_stored)
        self._flow = self._pipeline.flow
        self._saver.take_over(self._pipeline)
        self._pipeline.start()
        self._saver.start()

    @property
    def resumed_from_bytes(self) -> int:
        """Bytes of the disks asked so far that an earlier attempt had read and that are not read again."""
        return self._resumed_bytes

    @property
    def notices(self) -> tuple[Notice, ...]:
        return tuple(self._notices)

    def disk(
        self, request: DiskRequest, source: BlockSource, listener: ProgressListener | None = None
    ) -> Disk:
        """Back one disk up; returns when everything of it is read and on its way to packs.

        Raises FailedPrecondition when the base cannot be used (begin again with a full, and say why),
        InvalidInput for an impossible request, and whatever the source or the store raises.
        """
        self._require_new_disk(request)
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

    def stream(self, name: str, data: Iterable[bytes]) -> StreamRef:
        """Store opaque bytes with the point under ``name``."""
        if name in self._streams:
            raise InvalidInput(
                f"There is a stream {name!r} already.", reason="STREAM_TWICE", hint="Name it otherwise."
            )
        try:
            self._streams[name] = store_stream(self._pipeline.writer, data)
        except Stopped:
            self._flow.raise_failure()
            raise
        return self._streams[name]

    def note(self, code: str, message: str) -> None:
        """Record on the point that something was less, or other, than asked."""
        self._notices.append(Notice(code, message))

    def cancel(self) -> None:
        """Stop as soon as possible; the call in progress raises Cancelled. From any thread."""
        self._flow.fail(
            Cancelled(
                "The backup was cancelled.", reason="BACKUP_CANCELLED", hint="Start it again if needed."
            )
        )

    def commit(self, description: PointDescription) -> RestorePoint:
        """Make everything durable and create the point: before this returns nothing exists, then all does.

        Raises Aborted when another mover took the transfer over, or when packs it relies on vanished.
        """
        if any(disk is None for disk in self._disks.values()):
            raise FailedPrecondition(
                "A disk of this backup failed.", reason="DISK_FAILED", hint="Abort, and start again."
            )
        try:
            self._pipeline.drain()
        except Stopped:
            self._flow.raise_failure()
            raise
        self._require_packs_still_there()
        self._saver.save_all()
        point = self._point(description)
        public = public_part(self._point_id, sorted(self._saver.segments))
        self._context.objects.put("point", point_name(self._point_id), public, encode_body(point))
        self._committed = True
        self._end()
        self._saver.forget()
        return point

    def abort(self, *, forget: bool = False) -> None:
        """Give up. ``forget`` removes the checkpoint too, so that nobody resumes."""
        self._flow.fail(
            Cancelled("The backup was given up.", reason="BACKUP_ABORTED", hint="Start it again if needed.")
        )
        self._end()
        if forget:
            self._saver.forget()

    def __enter__(self) -> "BackupSession":
        return self

    def __exit__(self, *_: object) -> None:
        if not self._committed:
            self.abort()

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
        self._read_bytes += backup.read_bytes + earlier
        self._resumed_bytes += backup.resumed_bytes
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

    def _end(self) -> None:
        self._saver.end()
        self._pipeline.end()

    def _damaged_chunks(self, request: DiskRequest, base: DiskMap | None) -> frozenset[int]:
        heal = self._context.damaged_chunks(base) if base is not None else frozenset()
        if heal:
            self.note("HEALING", f"{len(heal)} damaged chunks of disk {request.disk_id} are read again.")
        return heal

    def _sound(self, progress: MapProgress, request: DiskRequest, shape: Shape) -> MapProgress:
        pages = DiskMap(self._context.reader, shape, None, self._context.header.blocks_per_chunk)
        sound, lost = sound_progress(progress, self._pipeline.ledger, pages)
        if lost:
            message = f"{lost} items of the checkpoint of disk {request.disk_id} are lost and read again."
            self.note("CHECKPOINT_INCOMPLETE", message)
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

    def _require_new_disk(self, request: DiskRequest) -> None:
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

    def _require_packs_still_there(self) -> None:
        lost = self._pipeline.ledger.lost_packs()
        for pack in lost:
            self._pack_missing(pack)
        if lost:
            raise Aborted(
                f"{len(lost)} packs this backup deduplicated against vanished, {lost[0].name} among them.",
                reason="PACKS_VANISHED",
                hint="Run the backup again: it stores their content anew.",
            )

    def _base_damaged(self, error: DataLoss) -> None:
        self.note("HEALING", f"{error.message} The chunk was read from the source instead.")
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

    def _pack_missing(self, pack: PackInfo) -> None:
        self.note("PACK_MISSING", f"{pack.name} is gone; its content is stored again where it is met.")
        self._context.report_damage(pack, "it is gone")

    def _point(self, description: PointDescription) -> RestorePoint:
        counts = self._pipeline.writer.counts
        disks = tuple(disk for disk in self._disks.values() if disk is not None)
        incremental = bool(disks) and all(disk.level == INCREMENTAL for disk in disks)
        return RestorePoint(
            point_id=self._point_id,
            base_point=self._base.point_id if self._base else None,
            asset=description.asset,
            method=description.method,
            consistency=description.consistency,
            level=INCREMENTAL if incremental else FULL,
            snapshot_time=description.snapshot_time,
            commit_time=description.commit_time,
            disks=disks,
            streams=dict(self._streams),
            notices=(*description.notices, *self._notices),
            statistics={
                "known_blobs": counts.known_blobs,
                "known_bytes": counts.known_plain_bytes,
                "new_blobs": counts.new_blobs,
                "new_bytes": counts.new_plain_bytes,
                "read_bytes": self._read_bytes,
                "resumed_bytes": self._resumed_bytes,
                "stored_bytes": self._pipeline.stored_bytes,
            },
            document=description.document,
        )
