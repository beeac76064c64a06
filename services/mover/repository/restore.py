"""Reading disks back: whole onto a target, or a range."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import islice, starmap

from services.chassis.errors import Cancelled, DataLoss, InvalidInput
from services.mover.repository.content import each_chunk, read_chunks
from services.mover.repository.context import Context
from services.mover.repository.cores import threads
from services.mover.repository.diskmap import DiskMap
from services.mover.repository.extents import Extent
from services.mover.repository.format.blob import BlobType
from services.mover.repository.format.names import PAGE_ENTRIES
from services.mover.repository.format.page import Entry
from services.mover.repository.format.point import Disk
from services.mover.repository.points import require_still_there
from services.mover.repository.ports import BlockTarget, Progress, ProgressListener, nobody
from services.mover.repository.types import Bytes

_BATCH_BYTES = 8 << 20
_CHECK_BATCH = 512
_WAITING = 2

Batch = list[tuple[int, Entry]]
Piece = tuple[int, memoryview]
"""Offset on the disk, and what belongs there."""


@dataclass(frozen=True, slots=True)
class Reached:
    """Going on with a disk: what lies below ``start``, an offset, was written before.

    ``settled`` hears, in the thread of the restore, below which offset everything is written by now.
    """

    start: int = 0
    settled: Callable[[int], None] = nobody


@dataclass(frozen=True, slots=True)
class RestoreOptions:
    """``workers`` read, decode and write in parallel.

    There are more workers than cores because each waits for the store and the target by turns.
    """

    workers: int = field(default_factory=partial(threads, _WAITING))


def data_extents(disk: DiskMap) -> Iterator[Extent]:
    """What a restore writes, ascending and apart: exactly these bytes, every other byte is zero."""
    size, chunk_bytes = disk.shape.size_bytes, disk.shape.chunk_bytes
    start = end = 0
    for chunk, _ in disk.entries():
        offset = chunk * chunk_bytes
        if offset != end or end == start:
            if end > start:
                yield Extent(start, end - start)
            start = offset
        end = min(offset + chunk_bytes, size)
    if end > start:
        yield Extent(start, end - start)


def restore_disk(
    context: Context,
    point_id: str,
    disk: Disk,
    target: BlockTarget,
    options: RestoreOptions,
    listener: ProgressListener | None,
    cancel: threading.Event | None,
    reached: Reached,
) -> int:
    """Write everything ``data_extents`` names to ``target``, from ``reached.start`` on; bytes written.

    Raises DataLoss before the first write when damage is known or blobs are missing, and during it when
    damage is met: zeros never stand in for lost data.
    """
    disk_map = context.disk_map(disk)
    total = require_readable(context, point_id, disk, disk_map)
    resumed = total - _bytes_from(disk_map, reached.start)
    written = 0
    lock = threading.Lock()
    chunk_bytes = context.chunk_bytes
    per_batch = max(1, _BATCH_BYTES // chunk_bytes)

    def piece(chunk: int, content: Bytes) -> Piece:
        offset = chunk * chunk_bytes
        return offset, memoryview(content)[: disk.size_bytes - offset]

    def write(pieces: Iterable[Piece]) -> None:
        nonlocal written
        for offset, data in pieces:
            _check(cancel)
            target.write(offset, data)
            with lock:
                written += len(data)
                so_far = written
            if listener is not None:
                listener(Progress(total, so_far, resumed, so_far))

    def decode_and_write(batch: Batch) -> None:
        _check(cancel)
        write(starmap(piece, each_chunk(context.reader, batch, chunk_bytes)))

    with ThreadPoolExecutor(options.workers, thread_name_prefix="restore") as pool:
        running: deque[tuple[int, Future[None]]] = deque()

        def settle() -> None:
            end, done = running.popleft()
            done.result()
            reached.settled(end)

        try:
            for batch in _batches(disk_map, per_batch, reached.start):
                _check(cancel)
                end = (batch[-1][0] + 1) * chunk_bytes
                running.append((end, pool.submit(decode_and_write, batch)))
                while len(running) > 2 * options.workers:
                    settle()
            while running:
                settle()
        except DataLoss as error:
            require_still_there(context, point_id)
            context.quarantine(error)
            raise
        finally:
            for _, future in running:
                future.cancel()
    return written


def read_range(context: Context, disk: Disk, offset: int, length: int) -> bytes:
    """``length`` bytes of the disk from ``offset``; raises InvalidInput when that is not on the disk."""
    if offset < 0 or length < 0 or offset + length > disk.size_bytes:
        raise InvalidInput(
            f"{offset}+{length} is outside disk {disk.disk_id} of {disk.size_bytes} bytes.",
            reason="RANGE_OUTSIDE_DISK",
            hint="Ask for a range within the disk.",
        )
    disk_map = context.disk_map(disk)
    chunk_bytes = context.chunk_bytes
    result = bytearray(length)
    wanted: Batch = []
    for chunk in range(offset // chunk_bytes, -(-(offset + length) // chunk_bytes)):
        page_id = disk_map.page_id(0, chunk // PAGE_ENTRIES)
        entry = disk_map.page(page_id, 0).items.get(chunk % PAGE_ENTRIES) if page_id else None
        if isinstance(entry, Entry):
            wanted.append((chunk, entry))
    per_batch = max(1, _BATCH_BYTES // chunk_bytes)
    for at in range(0, len(wanted), per_batch):
        batch = wanted[at : at + per_batch]
        contents = read_chunks(context.reader, [entry for _, entry in batch], chunk_bytes)
        for (chunk, _), content in zip(batch, contents, strict=True):
            start = chunk * chunk_bytes
            low, high = max(offset, start), min(offset + length, start + chunk_bytes)
            result[low - offset : high - offset] = memoryview(content)[low - start : high - start]
    return bytes(result)


def require_readable(context: Context, point_id: str, disk: Disk, disk_map: DiskMap) -> int:
    """Bytes a restore will write; raises DataLoss naming point, disk and pack when it cannot succeed.

    Blobs whose every copy lies in a pack known to be damaged are decoded to see whether they survived.
    """
    total = 0
    for batch in _batches(disk_map, _CHECK_BATCH):
        for chunk, _ in batch:
            total += min(context.chunk_bytes, disk.size_bytes - chunk * context.chunk_bytes)
        problem = lost_blob(context, [entry for _, entry in batch])
        if problem is not None:
            raise DataLoss(
                f"Disk {disk.disk_id} of point {point_id} is damaged: {problem}",
                reason="POINT_DAMAGED",
                hint="Choose another restore point, or restore the pack from a copy of the repository.",
                metadata={"point": point_id, "disk": disk.disk_id},
            )
    return total


def lost_blob(context: Context, entries: list[Entry]) -> str | None:
    """What is wrong with the first blob of these entries that cannot be read; None when all can be."""
    typed = {entry.chunk: BlobType.CHUNK for entry in entries if entry.chunk is not None}
    typed |= {p.group: BlobType.GROUP for entry in entries for p in entry.patches if p.group is not None}
    copies = context.index.find(list(typed))
    for id_, type_ in typed.items():
        if any(not copy.pack.damaged for copy in copies.get(id_, ())):
            continue
        try:
            context.reader.read(id_, type_)
        except DataLoss as error:
            return error.message
    return None


def _bytes_from(disk_map: DiskMap, start: int) -> int:
    """How much of what a restore writes lies in chunks that end after ``start``."""
    size, chunk_bytes = disk_map.shape.size_bytes, disk_map.shape.chunk_bytes
    return sum(
        min(chunk_bytes, size - chunk * chunk_bytes)
        for chunk, _ in disk_map.entries()
        if (chunk + 1) * chunk_bytes > start
    )


def _batches(disk_map: DiskMap, size: int, start: int = 0) -> Iterator[Batch]:
    """Of those chunks that end after ``start``."""
    chunk_bytes = disk_map.shape.chunk_bytes
    entries = (each for each in disk_map.entries() if (each[0] + 1) * chunk_bytes > start)
    while batch := list(islice(entries, size)):
        yield batch


def _check(cancel: threading.Event | None) -> None:
    if cancel is not None and cancel.is_set():
        raise Cancelled(
            "The restore was cancelled.", reason="RESTORE_CANCELLED", hint="Start it again if needed."
        )
