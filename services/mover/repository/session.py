"""One backup: disks and streams go in, one restore point comes out, or nothing."""

import threading
from collections.abc import AsyncIterable, Iterable

from services.chassis.errors import Aborted, AlreadyExists, Cancelled, FailedPrecondition, XenkeepError
from services.mover.repository.context import Context
from services.mover.repository.diskintake import DiskIntake
from services.mover.repository.flow import Stopped
from services.mover.repository.format.names import INDEX, point_name
from services.mover.repository.format.point import Disk, Notice, RestorePoint, encode_body, public_part
from services.mover.repository.format.stream import StreamRef
from services.mover.repository.index import PackInfo
from services.mover.repository.leasekeeper import LeaseKeeper
from services.mover.repository.leases import WriterLease, lease_lost
from services.mover.repository.leasewatch import remove_leases
from services.mover.repository.locks import Origin, held
from services.mover.repository.pipeline import Pipeline
from services.mover.repository.points import is_revoked
from services.mover.repository.ports import BlockSource, ProgressListener
from services.mover.repository.request import FULL, INCREMENTAL, BackupOptions, DiskRequest, PointDescription
from services.mover.repository.saver import Saver
from services.mover.repository.streamintake import StreamIntake
from services.mover.repository.types import Bytes
from services.mover.repository.unchanged import Comparison, compare_unchanged


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
        lease: WriterLease,
    ) -> None:
        self._context = context
        self._lease = lease
        self._began = context.time.now()
        self._unchanged_chunks, self._compared_bytes = options.unchanged_chunks, 0
        self._comparing = threading.Lock()
        self._point_id = point_id
        self._base = base
        self._notices: list[Notice] = []
        self._committed = self._uncertain = False
        base_id = base.point_id if base else None
        seconds = options.checkpoint_seconds
        self._saver = Saver(context, point_id, base_id, transfer_id, seconds, self.note)
        self._pipeline = Pipeline(context, options, lease.plans, self._pack_missing, self._saver.pack_stored)
        self._flow = self._pipeline.flow
        self._disks = DiskIntake(context, base, self._pipeline, self._saver, options, self.note)
        self._streams = StreamIntake(context, self._pipeline, options.workers)
        self._keeper = LeaseKeeper(self._flow, lease, self.note, options.lease_seconds)
        self._saver.take_over(self._pipeline)
        self._pipeline.start()
        self._saver.start()
        self._keeper.start()

    @property
    def resumed_from_bytes(self) -> int:
        """Bytes of the disks asked so far that an earlier attempt had read and that are not read again."""
        return self._disks.resumed_bytes

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
        return self._disks.take(request, source, listener)

    def compare_unchanged(self, request: DiskRequest, source: BlockSource) -> Comparison:
        """Compare some of what an incremental ``request`` says not to have changed with the base point.

        As much as ``BackupOptions.unchanged_chunks`` says; nothing of a full.
        """
        base = self._base.disk(request.base_disk) if self._base and request.base_disk else None
        if base is None or request.extents is None or not self._unchanged_chunks:
            return Comparison(0)
        seed = f"{request.disk_id} {request.source_ref}"
        compared = compare_unchanged(
            self._context, base, request.extents, source, self._unchanged_chunks, seed
        )
        with self._comparing:
            self._compared_bytes += compared.compared_bytes
        return compared

    def stream(
        self,
        name: str,
        data: Iterable[Bytes],
        kind: str = "",
        *,
        total_bytes: int = 0,
        listener: ProgressListener | None = None,
    ) -> StreamRef:
        """Store opaque bytes of any length with the point under ``name``; ``kind`` is kept with it.

        Memory is bounded however long the stream is; ``total_bytes``, if known, is for ``listener`` alone.
        Raises InvalidInput for a name taken, and whatever ``data`` or the store raises.
        """
        return self._streams.take(name, kind, data, total_bytes, listener)

    async def write_stream(
        self,
        name: str,
        kind: str,
        data: AsyncIterable[Bytes],
        *,
        total_bytes: int = 0,
        listener: ProgressListener | None = None,
    ) -> StreamRef:
        """``stream`` from an event loop: bytes are taken as they come, work is done in threads."""
        return await self._streams.take_async(name, kind, data, total_bytes, listener)

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

        Raises Aborted when another mover took the transfer over, when the right to make the point was lost to
        a prune, or when packs it relies on vanished.
        """
        self._require_finished()
        self._streams.settle()
        try:
            self._pipeline.drain()
        except Stopped:
            self._flow.raise_failure()
            raise
        self._pipeline.ledger.require_stored()
        self._lease.require()
        self._require_packs_still_there()
        self._saver.save_all()
        self._context.store.settle(INDEX)  # segments of others, who may have died before these were durable
        origin = Origin(self._base, self._pipeline.ledger.relied_on(), self._began, self._saver.resumed)
        point = held(self._context, self._point(description), origin)
        self._lease.require()
        self._create(point)
        self._committed = True
        self._end()
        remove_leases(self._context, self._point_id)
        self._saver.forget()
        return point

    def abort(self, *, forget: bool = False) -> None:
        """Give up. ``forget`` removes the checkpoint too, so that nobody resumes.

        What is durable is indexed, so that the next backup need not store it again; where even that fails, a
        prune removes it. The lease stays when nobody knows whether the point was made.
        """
        self._flow.fail(
            Cancelled("The backup was given up.", reason="BACKUP_ABORTED", hint="Start it again if needed.")
        )
        self._end()
        try:
            self._saver.index_all()
        except XenkeepError as error:
            self._context.on_notice("PACKS_NOT_INDEXED", f"{error.message} A prune removes what was stored.")
        if not self._uncertain:
            self._lease.release()
        if forget:
            self._saver.forget()

    def __enter__(self) -> "BackupSession":
        return self

    def __exit__(self, *_: object) -> None:
        if not self._committed:
            self.abort()

    def _create(self, point: RestorePoint) -> None:
        name = point_name(self._point_id)
        public = public_part(self._point_id, sorted(self._saver.segments))
        self._uncertain = True
        try:
            self._context.objects.put("point", name, public, encode_body(point))
        except AlreadyExists:
            self._uncertain = False
            if is_revoked(self._context, name):
                raise lease_lost(self._point_id) from None
            raise

    def _end(self) -> None:
        self._keeper.end()
        self._saver.end()
        self._pipeline.end()

    def _require_finished(self) -> None:
        for reason, what, unfinished in (
            ("DISK_FAILED", "disk", self._disks.unfinished),
            ("STREAM_FAILED", "stream", self._streams.unfinished),
        ):
            if unfinished:
                raise FailedPrecondition(
                    f"The {what} {unfinished[0]} of this backup is not complete.",
                    reason=reason,
                    hint="Abort, and start again.",
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

    def _pack_missing(self, pack: PackInfo) -> None:
        self._lease.require()  # without it the pack may have been pruned, and is no damage
        self.note("PACK_MISSING", f"{pack.name} is gone; its content is stored again where it is met.")
        self._context.report_damage(pack, "it is gone")

    def _point(self, description: PointDescription) -> RestorePoint:
        counts = self._pipeline.writer.counts
        disks = self._disks.finished(description.disk_order)
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
            streams=self._streams.finished,
            notices=(*description.notices, *self._notices, *description.late_notices()),
            statistics={
                "known_blobs": counts.known_blobs,
                "known_bytes": counts.known_plain_bytes,
                "new_blobs": counts.new_blobs,
                "new_bytes": counts.new_plain_bytes,
                "read_bytes": self._disks.read_bytes,
                "resumed_bytes": self._disks.resumed_bytes,
                "stored_bytes": self._pipeline.stored_bytes,
                **({"compared_bytes": self._compared_bytes} if self._compared_bytes else {}),
            },
            document=description.document,
        )
