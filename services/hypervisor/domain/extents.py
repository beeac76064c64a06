"""Stretches of a disk that changed."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

BLOCK_BYTES = 64 * 1024
"""What one bit of a changed-block bitmap stands for (xapi: VDI.list_changed_blocks)."""

_NOT_EMPTY = re.compile(rb"\xff+|[^\x00\xff]", re.DOTALL)


@dataclass(frozen=True)
class Extent:
    """``length_bytes`` bytes from ``offset_bytes`` on."""

    offset_bytes: int
    length_bytes: int


def changed_extents(bitmap: bytes, size_bytes: int, base_size_bytes: int) -> Iterator[Extent]:
    """Ascending, merged extents of a disk of ``size_bytes`` whose bit is set in ``bitmap``.

    The most significant bit of the first byte is block 0 (sm: libs/sm/VDI.py, bytereverse). Bits beyond the
    disk are ignored; the last extent is cut at the disk's end. What lies beyond ``base_size_bytes``, or
    beyond the bitmap, counts as changed: a resize does not mark the blocks it adds.
    """
    tracked = min(size_bytes, base_size_bytes, len(bitmap) * 8 * BLOCK_BYTES)
    blocks = tracked // BLOCK_BYTES
    yield from _merged(chain(_runs(bitmap, blocks), _tail(bitmap, size_bytes, tracked)))


def _runs(bitmap: bytes, blocks: int) -> Iterator[Extent]:
    """Set bits among the first ``blocks``; only bytes that are not empty cost time."""
    for match in _NOT_EMPTY.finditer(bitmap, 0, (blocks + 7) // 8):
        first, byte = match.start() * 8, match[0][0]
        if byte == 0xFF:
            yield _blocks(first, min(match.end() * 8, blocks))
            continue
        for block in range(first, min(first + 8, blocks)):
            if byte & (0x80 >> (block - first)):
                yield _blocks(block, block + 1)


def _tail(bitmap: bytes, size_bytes: int, tracked_bytes: int) -> Iterator[Extent]:
    """What follows the whole blocks that are tracked, if it changed or nobody knows."""
    block = tracked_bytes // BLOCK_BYTES
    start = block * BLOCK_BYTES
    if start < size_bytes and (
        tracked_bytes < size_bytes or bool(bitmap[block >> 3] & (0x80 >> (block & 7)))
    ):
        yield Extent(start, size_bytes - start)


def _blocks(first: int, end: int) -> Extent:
    return Extent(first * BLOCK_BYTES, (end - first) * BLOCK_BYTES)


def _merged(extents: Iterable[Extent]) -> Iterator[Extent]:
    pending = Extent(0, 0)
    for extent in extents:
        if pending.offset_bytes + pending.length_bytes == extent.offset_bytes:
            pending = Extent(pending.offset_bytes, pending.length_bytes + extent.length_bytes)
            continue
        if pending.length_bytes:
            yield pending
        pending = extent
    if pending.length_bytes:
        yield pending
