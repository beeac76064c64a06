"""One backup: disks and streams go in, one restore point comes out, or nothing."""

import hashlib
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from services.chassis.errors import Aborted, Cancelled, FailedPrecondition, InvalidInput
from services.mover.repository.blobwriter import BlobWriter
from services.mover.repository.checkpoint import Checkpoint, CheckpointLog, DiskCheckpoint
from services.mover.repository.context import Context
from services.mover.repository.diskbackup import DiskBackup
from services.mover.repository.diskmap import DiskMap, Shape
from services.mover.repository.epochs import writing_epoch
from services.mover.repository.extents import Extent, merged_blocks, touched_chunks
from services.mover.repository.flow import Channel, Closed, Flow, Stopped
from services.mover.repository.format import canonical
from services.mover.repository.format.names import MAX_DISK_BYTES, MAX_DISKS, point_name
from services.mover.repository.format.point import Disk, Notice, RestorePoint, encode_body, public_part
from services.mover.repository.format.segment import PackRecord, encode_segment, split_into_segments
from services.mover.repository.format.stream import StreamRef
from services.mover.repository.index import PackInfo
from services.mover.repository.ledger import Ledger
from services.mover.repository.mapwriter import MapWriter
from services.mover.repository.packer import OpenPack, Packer, store_pack
from services.mover.repository.plan import Planner
from services.mover.repository.ports import BlockSource, ProgressListener
from services.mover.repository.stream import store_stream

FULL, INCREMENTAL = "full", "incremental"
_SEGMENT_PACKS: Final = 64
_META_CUT_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class BackupOptions:
    """How hard to work. ``readers`` a disk; ``level`` of zstd; ``check`` decodes after encoding."""

    readers: int = 4
    workers: int = 2
    uploads: int = 2
    level: int = 1
    check: bool = True
    checkpoint_seconds: float = 5.0


@dataclass(frozen=True, slots=True)
class PointDescription:
    """What the caller says of a point. Times RFC 3339, UTC; ``document`` is any JSON."""

    asset: dict[str, str]
    method: str
    consistency: str
    snapshot_time: str
    commit_time: str
    document: Any = None
    notices: tuple[Notice, ...] = ()


@dataclass(frozen=True, slots=True)
class DiskRequest:
    """A disk to back up.

    ``extents`` (None: everything) is what to read: all allocated ranges for a full, all changed ranges since
    ``base_disk`` of the base point for an incremental. ``source_ref`` names the snapshot: a backup only
    resumes what was read from the same one. ``reason`` says why a disk is read fully.
    """

    disk_id: str
    size_bytes: int
    extents: tuple[Extent, ...] | None = None
    base_disk: str | None = None
    label: str = ""
    reason: str = ""
    tracking_ref: str = ""
    source_ref: str = ""


@dataclass
class _DiskState:
    request: DiskRequest
    fingerprint: str
    target: MapWriter
    backup: DiskBackup
    earlier_read_bytes: int = 0


@dataclass
class _Results:
    disks: list[Disk] = field(default_factory=list)
    streams: dict[str, StreamRef] = field(default_factory=dict)
    notices: list[Notice] = field(default_factory=list)
    segments: list[str] = field(default_factory=list)
    pack_bytes: int = 0
    read_bytes: int = 0
    resumed_bytes: int = 0


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
        self._epoch = writing_epoch(context)
        self._point_id = point_id
        self._base = base
        self._options = options
        self._flow = Flow()
        self._changed = self._flow.condition()
        self._results = _Results()
        self._states: dict[str, _DiskState] = {}
        self._ledger = Ledger(context.index, context.store, self._pack_missing)
        self._due = False
        self._ending = False
        self._committed = False
        self._saving = threading.Lock()
        self._last_saved = context.time.monotonic()
        self._full: Channel[OpenPack] = Channel(self._flow, options.uploads)
        self._packers = {kind: self._packer(kind) for kind in ("data", "meta")}
        self._writer = BlobWriter(
            context.keys,
            self._ledger,
            self._packers["data"],
            self._packers["meta"],
            level=options.level,
            check=options.check,
        )
        self._transfer_id = transfer_id
        self._log: CheckpointLog | None = None
        self._resumed: Checkpoint | None = None
        if transfer_id is not None:
            self._take_over(transfer_id)
        for n in range(options.uploads):
            self._flow.start(f"upload-{n}", self._upload)
        self._flow.start("checkpoint", self._save_when_due)

    @property
    def resumed_from_bytes(self) -> int:
        """Bytes of the disks asked so far that an earlier attempt had read and that are not read again."""
        return self._results.resumed_bytes

    @property
    def notices(self) -> tuple[Notice, ...]:
        return tuple(self._results.notices)

    def disk(
        self, request: DiskRequest, source: BlockSource, listener: ProgressListener | None = None
    ) -> Disk:
        """Back one disk up; returns when everything of it is read and on its way to packs.

        Raises FailedPrecondition when the base cannot be used (take a full, and say why), InvalidInput for
        an impossible request, and whatever the source or the store raises.
        """
        self._require_new_disk(request)
        shape = Shape(request.size_bytes, self._context.chunk_bytes)
        base_map = self._base_map(request, shape)
        blocks = None if request.extents is None else merged_blocks(request.extents, request.size_bytes)
        heal = self._context.damaged_chunks(base_map) if base_map is not None else frozenset()
        if heal:
            self.note("HEALING", f"{len(heal)} damaged chunks of disk {request.disk_id} are read again.")
        fingerprint = self._fingerprint(request, sorted(heal))
        resume = self._resumable(request, fingerprint)
        target = MapWriter(self._writer, shape, base_map)
        if resume is not None:
            target.adopt(resume.progress.pages)
        planner = Planner(
            touched_chunks(blocks, heal, shape),
            shape,
            target,
            resume.progress if resume else None,
            incremental=base_map is not None,
        )
        backup = DiskBackup(
            flow=self._flow,
            source=source,
            shape=shape,
            planner=planner,
            target=target,
            writer=self._writer,
            base=self._context.reader,
            readers=self._options.readers,
            workers=self._options.workers,
            total_blocks=sum(bitmap.bit_count() for _, bitmap in touched_chunks(blocks, heal, shape)),
            listener=listener,
        )
        earlier = resume.read_bytes if resume else 0
        with self._saving:
            self._states[request.disk_id] = _DiskState(request, fingerprint, target, backup, earlier)
        backup.run()
        self._flow.raise_failure()
        self._results.read_bytes += backup.read_bytes
        self._results.resumed_bytes += backup.resumed_bytes
        disk = Disk(
            disk_id=request.disk_id,
            label=request.label,
            size_bytes=request.size_bytes,
            root=target.finish(),
            level=INCREMENTAL if base_map is not None else FULL,
            reason=request.reason,
            tracking_ref=request.tracking_ref,
            statistics={"read_bytes": backup.read_bytes + earlier, "resumed_bytes": backup.resumed_bytes},
        )
        self._results.disks.append(disk)
        return disk

    def stream(self, name: str, data: Iterable[bytes]) -> StreamRef:
        """Store opaque bytes with the point under ``name``."""
        if name in self._results.streams:
            raise InvalidInput(
                f"There is a stream {name!r} already.", reason="STREAM_TWICE", hint="Name it otherwise."
            )
        try:
            ref = store_stream(self._writer, data)
        except Stopped:
            self._flow.raise_failure()
            raise
        self._results.streams[name] = ref
        return ref

    def note(self, code: str, message: str) -> None:
        """Record on the point that something was less, or other, than asked."""
        self._results.notices.append(Notice(code, message))

    def cancel(self) -> None:
        """Stop as soon as possible; the call in progress raises Cancelled. From any thread."""
        self._flow.fail(
            Cancelled(
                "The backup was cancelled.", reason="BACKUP_CANCELLED", hint="Start it again if needed."
            )
        )

    def commit(self, description: PointDescription) -> RestorePoint:
        """Make everything durable and create the point: before this returns nothing exists, then all does."""
        try:
            for packer in self._packers.values():
                packer.drain()
        except Stopped:
            self._flow.raise_failure()
            raise
        with self._saving:
            self._write_segments(0)
            self._require_packs_still_there()
            self._save()
        point = self._point(description)
        name = point_name(self._point_id)
        self._context.objects.put(
            "point", name, public_part(self._point_id, sorted(self._results.segments)), encode_body(point)
        )
        self._committed = True
        self._end()
        if self._log is not None:
            self._log.remove()
        return point

    def abort(self, *, forget: bool = False) -> None:
        """Give up. ``forget`` removes the checkpoint too, so that nobody resumes."""
        self._flow.fail(
            Cancelled("The backup was given up.", reason="BACKUP_ABORTED", hint="Start it again if needed.")
        )
        self._end()
        if forget and self._log is not None:
            self._log.remove()

    def __enter__(self) -> "BackupSession":
        return self

    def __exit__(self, *_: object) -> None:
        if not self._committed:
            self.abort()

    def _packer(self, kind: str) -> Packer:
        context = self._context
        return Packer(
            flow=self._flow,
            full=self._full,
            keys=context.keys,
            epoch=self._epoch.epoch,
            epoch_record=self._epoch.encode(),
            kind=kind,
            pack_bytes=context.pack_bytes,
            entropy=context.entropy,
        )

    def _end(self) -> None:
        with self._changed:
            self._ending = True
            self._changed.notify_all()
        self._full.close()
        self._flow.join()

    def _upload(self) -> None:
        while True:
            try:
                pack = self._full.get()
            except Closed:
                return
            store_pack(self._context.store, pack, self._durable)
            self._packers[pack.header.kind].recycle(pack)

    def _durable(self, record: PackRecord) -> None:
        self._ledger.durable(record)
        waited = self._context.time.monotonic() - self._last_saved >= self._options.checkpoint_seconds
        with self._changed:
            self._results.pack_bytes += record.size
            self._due = self._due or waited
            self._changed.notify_all()

    def _save_when_due(self) -> None:
        while True:
            with self._changed:
                self._flow.wait(self._changed, lambda: self._due or self._ending)
            if self._ending:
                return
            self._due = False
            with self._saving:
                self._write_segments(_SEGMENT_PACKS)
                self._save()
            self._packers["meta"].cut(_META_CUT_BYTES)

    def _write_segments(self, at_least: int) -> None:
        """Index segments for packs that have none, when there are more than ``at_least``."""
        records = self._ledger.unindexed()
        if len(records) <= at_least:
            return
        for segment in split_into_segments(records):
            name = self._context.objects.put_segment(encode_segment(segment))
            self._context.index.add_segment(name, segment)
            self._ledger.indexed(segment.packs)
            self._results.segments.append(name.hex())

    def _save(self) -> None:
        self._last_saved = self._context.time.monotonic()
        if self._log is None or self._transfer_id is None:
            return
        disks = {
            disk_id: DiskCheckpoint(
                disk_id,
                state.fingerprint,
                state.target.progress(self._ledger.is_durable),
                state.backup.read_bytes + state.earlier_read_bytes,
            )
            for disk_id, state in self._states.items()
        }
        waiting = self._resumed.disks if self._resumed else {}
        self._log.write(
            Checkpoint(
                self._transfer_id,
                self._point_id,
                self._base.point_id if self._base else None,
                tuple(record.name for record in self._ledger.unindexed()),
                tuple(self._results.segments),
                {**waiting, **disks},
            )
        )

    def _take_over(self, transfer_id: str) -> None:
        context = self._context
        log = CheckpointLog(context.store, context.objects, transfer_id, context.chunk_bytes, self.note)
        found = log.load()
        base_id = self._base.point_id if self._base else None
        if found is not None and (found.point_id, found.base_point) != (self._point_id, base_id):
            self.note("CHECKPOINT_DISCARDED", "The checkpoint is of another point or base; it starts over.")
            found = None
        if found is not None:
            records = context.recover_packs(found.segments, found.unindexed)
            if records is None:
                self.note("CHECKPOINT_DISCARDED", "Packs of the checkpoint are gone; it starts over.")
                found = None
            else:
                for record in records:
                    self._ledger.durable(record)
                self._results.segments.extend(found.segments)
        self._resumed = found
        self._log = log
        self._save()

    def _resumable(self, request: DiskRequest, fingerprint: str) -> DiskCheckpoint | None:
        found = self._resumed.disks.get(request.disk_id) if self._resumed else None
        if found is None:
            return None
        if found.fingerprint != fingerprint or not request.source_ref:
            self.note(
                "CHECKPOINT_DISCARDED",
                f"Disk {request.disk_id} is read from another snapshot or with changes; it starts over.",
            )
            return None
        return found

    def _fingerprint(self, request: DiskRequest, heal: list[int]) -> str:
        extents = hashlib.sha256()
        for extent in sorted(request.extents or ()):
            extents.update(f"{extent.offset}+{extent.length},".encode())
        asked = {
            "base": self._base.point_id if self._base else None,
            "base_disk": request.base_disk,
            "disk": request.disk_id,
            "extents": extents.hexdigest() if request.extents is not None else None,
            "heal": heal,
            "size_bytes": request.size_bytes,
            "source": request.source_ref,
        }
        return hashlib.sha256(canonical.encode(asked)).hexdigest()

    def _base_map(self, request: DiskRequest, shape: Shape) -> DiskMap | None:
        if request.base_disk is None:
            return None
        disk = self._base.disk(request.base_disk) if self._base is not None else None
        if disk is None or self._base is None:
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
        if request.disk_id in self._states or len(self._states) >= MAX_DISKS:
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
        lost = self._ledger.lost_packs()
        if lost:
            for pack in lost:
                self._pack_missing(pack)
            raise Aborted(
                f"{len(lost)} packs this backup deduplicated against vanished, {lost[0].name} among them.",
                reason="PACKS_VANISHED",
                hint="Run the backup again: it stores their content anew.",
            )

    def _pack_missing(self, pack: PackInfo) -> None:
        self.note("PACK_MISSING", f"{pack.name} is gone; its content is stored again where it is met.")
        self._context.report_damage(pack, "it is gone")

    def _point(self, description: PointDescription) -> RestorePoint:
        counts = self._writer.counts
        results = self._results
        full = any(disk.level == FULL for disk in results.disks) or not results.disks
        return RestorePoint(
            point_id=self._point_id,
            base_point=self._base.point_id if self._base else None,
            asset=description.asset,
            method=description.method,
            consistency=description.consistency,
            level=FULL if full else INCREMENTAL,
            snapshot_time=description.snapshot_time,
            commit_time=description.commit_time,
            disks=tuple(results.disks),
            streams=dict(results.streams),
            notices=(*description.notices, *results.notices),
            statistics={
                "known_blobs": counts.known_blobs,
                "known_bytes": counts.known_plain_bytes,
                "new_blobs": counts.new_blobs,
                "new_bytes": counts.new_plain_bytes,
                "read_bytes": results.read_bytes,
                "resumed_bytes": results.resumed_bytes,
                "stored_bytes": results.pack_bytes,
            },
            document=description.document,
        )
