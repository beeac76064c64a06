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


BlockRange = tuple[int, int]
"""First block and the one after the last."""


@dataclass(frozen=True, slots=True)
class Touched:
    """What has to be read of a disk: ranges of blocks, ascending and apart."""

    shape: Shape
    blocks: tuple[BlockRange, ...]

    @property
    def total_bytes(self) -> int:
        return sum(
            min(end * BLOCK_BYTES, self.shape.size_bytes) - start * BLOCK_BYTES for start, end in self.blocks
        )

    def chunks(self) -> Iterator[tuple[int, int]]:
        """Number of each touched chunk and the bitmap of its touched blocks, ascending."""
        per_chunk = self.shape.chunk_bytes // BLOCK_BYTES
        chunk, bitmap = -1, 0
        for at, end in self.blocks:
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


def touched(
    extents: Iterable[Extent] | None, shape: Shape, base: Shape | None, whole_chunks: Set[int] = frozenset()
) -> Touched:
    """Blocks to read for ``extents`` (None: all) of a disk that was like ``base`` (None: a full).

    A full reads whole chunks. An incremental also reads what the disk grew by, whatever the extents say, and
    ``whole_chunks``. Raises InvalidInput when an extent is outside the disk.
    """
    all_blocks = -(-shape.size_bytes // BLOCK_BYTES)
    if extents is None:
        return Touched(shape, ((0, all_blocks),) if all_blocks else ())
    per_chunk = shape.chunk_bytes // BLOCK_BYTES
    ranges = [_blocks(extent, shape.size_bytes) for extent in extents if extent.length]
    if base is None:
        ranges = [(start // per_chunk * per_chunk, -(-end // per_chunk) * per_chunk) for start, end in ranges]
    elif base.size_bytes < shape.size_bytes:
        ranges.append((base.size_bytes // BLOCK_BYTES, all_blocks))
    ranges += [(chunk * per_chunk, (chunk + 1) * per_chunk) for chunk in whole_chunks]
    return Touched(shape, tuple(_merged((start, min(end, all_blocks)) for start, end in ranges)))


def _blocks(extent: Extent, size_bytes: int) -> BlockRange:
    if extent.offset < 0 or extent.length < 0 or extent.end > size_bytes:
        raise InvalidInput(
            f"The extent {extent.offset}+{extent.length} is outside a disk of {size_bytes} bytes.",
            reason="EXTENT_OUTSIDE_DISK",
            hint="Ask the hypervisor for the changed extents of this very snapshot.",
        )
    return extent.offset // BLOCK_BYTES, -(-extent.end // BLOCK_BYTES)


def _merged(ranges: Iterable[BlockRange]) -> Iterator[BlockRange]:
    start = end = -1
    for first, stop in sorted(ranges):
        if first > end:
            if end > start:
                yield start, end
            start, end = first, stop
        else:
            end = max(end, stop)
    if end > start:
        yield start, end


def blocks_in_chunk(chunk: int, shape: Shape) -> int:
    """How many blocks of this chunk are on the disk; the last one may be partial."""
    left = shape.size_bytes - chunk * shape.chunk_bytes
    return -(-min(shape.chunk_bytes, left) // BLOCK_BYTES)
