"""Whether what a disk's tracking calls unchanged really is: a few chunks are read and compared with the base.

Changed block tracking has lied before, of every hypervisor; nothing in an incremental would ever show it.
"""

import hashlib
import random
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from services.chassis.errors import DataLoss
from services.mover.repository.content import read_chunks
from services.mover.repository.context import Context
from services.mover.repository.diskmap import DiskMap
from services.mover.repository.extents import Extent
from services.mover.repository.format.names import PAGE_ENTRIES
from services.mover.repository.format.page import Entry
from services.mover.repository.format.point import Disk
from services.mover.repository.ports import BlockSource

_TRIES = 8
"""So many pages are looked at, if need be: where much has changed few chunks have not."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Bytes that were compared, and where the first difference was found; None when there was none."""

    compared_bytes: int
    differs_at: int | None = None


def compare_unchanged(
    context: Context, base: Disk, extents: Sequence[Extent], source: BlockSource, chunks: int, seed: str
) -> Comparison:
    """Read ``chunks`` chunks of the base that have content and that ``extents`` do not touch.

    ``seed`` settles which: it tells snapshots apart, so that over many backups every chunk has its turn, and
    a backup that is taken up again meets what it had met. Raises what ``source`` raises; what is damaged in
    the base is not compared.
    """
    compared = 0
    for chunk, entry in islice(_unchanged(context.disk_map(base), extents, chunks, seed), chunks):
        offset = chunk * context.chunk_bytes
        length = min(context.chunk_bytes, base.size_bytes - offset)
        try:
            known = bytes(read_chunks(context.reader, [entry], context.chunk_bytes)[0])
        except DataLoss:
            continue
        found = bytearray(length)
        source.read_into(offset, memoryview(found))
        compared += length
        if not known.startswith(found):
            return Comparison(compared, offset)
    return Comparison(compared)


def _unchanged(
    disk_map: DiskMap, extents: Sequence[Extent], chunks: int, seed: str
) -> Iterator[tuple[int, Entry]]:
    """Chunks in an order nobody foresees, from a few pages: not all that there are."""
    try:
        pages = list(disk_map.pages())
    except DataLoss:
        return
    choice = random.Random(hashlib.sha256(seed.encode()).digest())  # noqa: S311 - it only spreads the reads
    ordered = sorted(extents, key=lambda extent: extent.offset)
    for position, page_id in choice.sample(pages, min(max(_TRIES, chunks), len(pages))):
        try:
            items = disk_map.page(page_id, 0).items
        except DataLoss:
            continue
        found = 0
        for index in choice.sample(sorted(items), len(items)):
            entry, chunk = items[index], position * PAGE_ENTRIES + index
            if isinstance(entry, Entry) and not _is_touched(chunk, disk_map, ordered):
                yield chunk, entry
                found += 1
                if found * len(pages) >= chunks:
                    break


def _is_touched(chunk: int, disk_map: DiskMap, ordered: Sequence[Extent]) -> bool:
    """Whether one of the extents, sorted and apart, reaches into the chunk, or the disk ends before it."""
    start = chunk * disk_map.shape.chunk_bytes
    end = start + disk_map.shape.chunk_bytes
    before = bisect_right(ordered, end - 1, key=lambda extent: extent.offset)
    return start >= disk_map.shape.size_bytes or (before > 0 and ordered[before - 1].end > start)
