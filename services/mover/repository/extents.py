"""Extents of a disk as chunks and blocks."""

from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass

from services.chassis.errors import InvalidInput
from services.mover.repository.diskmap import Shape
from services.mover.repository.format.names import BLOCK_BYTES


@dataclass(frozen=True, slots=True, order=True)
class Extent:
    """A range of a disk, in bytes."""

    offset: int
    length: int

    @property
    def end(self) -> int:
        return self.offset + self.length


def merged_blocks(extents: Iterable[Extent], size_bytes: int) -> list[tuple[int, int]]:
    """Half-open ranges of block numbers that the extents touch, ascending and apart.

    Raises InvalidInput when an extent is outside the disk.
    """
    ranges: list[tuple[int, int]] = []
    for extent in sorted(extents):
        if extent.offset < 0 or extent.length < 0 or extent.end > size_bytes:
            raise InvalidInput(
                f"The extent {extent.offset}+{extent.length} is outside a disk of {size_bytes} bytes.",
                reason="EXTENT_OUTSIDE_DISK",
                hint="Ask the hypervisor for the changed extents of this very snapshot.",
            )
        if not extent.length:
            continue
        first, end = extent.offset // BLOCK_BYTES, -(-extent.end // BLOCK_BYTES)
        if ranges and first <= ranges[-1][1]:
            ranges[-1] = (ranges[-1][0], max(end, ranges[-1][1]))
        else:
            ranges.append((first, end))
    return ranges


def blocks_in_chunk(chunk: int, shape: Shape) -> int:
    """How many blocks of this chunk are on the disk; the last one may be partial."""
    left = shape.size_bytes - chunk * shape.chunk_bytes
    return min(shape.chunk_bytes, -(-left // BLOCK_BYTES) * BLOCK_BYTES) // BLOCK_BYTES


def touched_chunks(
    blocks: list[tuple[int, int]] | None, whole: Set[int], shape: Shape
) -> Iterator[tuple[int, int]]:
    """Chunk and bitmap of touched blocks, ascending; no ``blocks``: all; ``whole``: complete chunks."""
    if blocks is None:
        for chunk in range(shape.chunks):
            yield chunk, (1 << blocks_in_chunk(chunk, shape)) - 1
        return
    per_chunk = shape.chunk_bytes // BLOCK_BYTES
    complete = sorted(whole, reverse=True)
    for chunk, bitmap in _bitmaps(blocks, per_chunk):
        while complete and complete[-1] < chunk:
            lonely = complete.pop()
            yield lonely, (1 << blocks_in_chunk(lonely, shape)) - 1
        if complete and complete[-1] == chunk:
            complete.pop()
            yield chunk, (1 << blocks_in_chunk(chunk, shape)) - 1
        else:
            yield chunk, bitmap
    while complete:
        lonely = complete.pop()
        yield lonely, (1 << blocks_in_chunk(lonely, shape)) - 1


def _bitmaps(blocks: list[tuple[int, int]], per_chunk: int) -> Iterator[tuple[int, int]]:
    chunk, bitmap = -1, 0
    for first, end in blocks:
        at = first
        while at < end:
            here, bit = divmod(at, per_chunk)
            if here != chunk:
                if bitmap:
                    yield chunk, bitmap
                chunk, bitmap = here, 0
            stop = min(end, (here + 1) * per_chunk)
            bitmap |= ((1 << stop - at) - 1) << bit
            at = stop
    if bitmap:
        yield chunk, bitmap
