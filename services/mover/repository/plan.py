"""What to read of a disk, in which pieces, and how each will be stored."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final

from services.mover.repository.diskmap import Shape
from services.mover.repository.extents import blocks_in_chunk
from services.mover.repository.format.names import BLOCK_BYTES, MAX_GROUP_BLOCKS, MAX_PATCHES, PAGE_ENTRIES
from services.mover.repository.format.page import Entry
from services.mover.repository.mapwriter import MapProgress, MapWriter


class Way(Enum):
    """How blocks become entries."""

    WHOLE = "read a whole chunk, store it"
    FOLD = "read changed blocks, lay them over the chunk in the repository, store the result"
    GROUP = "read changed blocks of several chunks, store them as one group of patches"


@dataclass(frozen=True, slots=True)
class Part:
    """Blocks of one chunk to read, and what the chunk was."""

    chunk: int
    bitmap: int
    base: Entry | None


@dataclass(frozen=True, slots=True)
class Unit:
    """A piece of work that fits one buffer of a chunk's size."""

    way: Way
    parts: tuple[Part, ...]

    @property
    def blocks(self) -> int:
        return sum(part.bitmap.bit_count() for part in self.parts)


class Planner:
    """Turns touched chunks into units, ascending, and tells the map writer what to expect.

    Used by one thread at a time. ``resumed_blocks`` counts what a checkpoint made unnecessary to read.
    """

    def __init__(
        self,
        touched: Iterator[tuple[int, int]],
        shape: Shape,
        target: MapWriter,
        resume: MapProgress | None,
        *,
        incremental: bool,
    ) -> None:
        self._touched = touched
        self._shape = shape
        self._target = target
        self._resume = resume or MapProgress({}, {})
        self._incremental = incremental
        self._group_blocks: Final = min(MAX_GROUP_BLOCKS, shape.chunk_bytes // BLOCK_BYTES)
        self.resumed_blocks = 0

    def units(self) -> Iterator[Unit]:
        position = -1
        group: list[Part] = []
        for chunk, bitmap in self._touched:
            here = chunk // PAGE_ENTRIES
            if here != position:
                self._target.close(position)
                position = here
            if here in self._resume.pages:
                self.resumed_blocks += bitmap.bit_count()
                continue
            self._target.expect(chunk)
            if chunk in self._resume.entries:
                self.resumed_blocks += bitmap.bit_count()
                self._target.done(chunk, self._resume.entries[chunk])
                continue
            part, way = self._choose(chunk, bitmap)
            if way is not Way.GROUP:
                yield Unit(way, (part,))
                continue
            if sum(p.bitmap.bit_count() for p in group) + bitmap.bit_count() > self._group_blocks:
                yield Unit(Way.GROUP, tuple(group))
                group = []
            group.append(part)
        if group:
            yield Unit(Way.GROUP, tuple(group))
        self._target.close(position)

    def _choose(self, chunk: int, bitmap: int) -> tuple[Part, Way]:
        everything = (1 << blocks_in_chunk(chunk, self._shape)) - 1
        if not self._incremental or bitmap == everything:
            return Part(chunk, everything, None), Way.WHOLE
        base = self._target.base_entry(chunk)
        patched = bitmap
        kept = 0
        for patch in base.patches if base else ():
            patched |= patch.bitmap
            kept += bool(patch.bitmap & ~bitmap)
        full = kept >= MAX_PATCHES or patched.bit_count() * 2 >= self._shape.chunk_bytes // BLOCK_BYTES
        return Part(chunk, bitmap, base), Way.FOLD if full else Way.GROUP
