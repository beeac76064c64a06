"""Backing up one disk: readers fill buffers, workers turn them into entries of the map."""

import threading
from collections.abc import Callable, Iterator
from typing import Final

from services.chassis.errors import DataLoss
from services.mover.repository.blobwriter import BlobWriter
from services.mover.repository.content import ZERO_BLOCK, bits, read_chunks, runs
from services.mover.repository.diskmap import Shape
from services.mover.repository.extents import blocks_in_chunk
from services.mover.repository.flow import Belt, Closed, Flow
from services.mover.repository.format.blob import BlobType
from services.mover.repository.format.names import BLOCK_BYTES, MAX_PATCHES
from services.mover.repository.format.page import Entry, Patch
from services.mover.repository.mapwriter import MapWriter
from services.mover.repository.plan import Part, Planner, Unit, Way
from services.mover.repository.ports import BlockSource, Progress, ProgressListener
from services.mover.repository.reader import BlobReader


class DiskBackup:
    """One disk's pipeline. Memory is bounded by the number of buffers, each of a chunk's size."""

    def __init__(
        self,
        *,
        flow: Flow,
        source: BlockSource,
        shape: Shape,
        planner: Planner,
        target: MapWriter,
        writer: BlobWriter,
        base: BlobReader,
        readers: int,
        workers: int,
        buffers: int,
        total_bytes: int,
        listener: ProgressListener | None,
        on_damage: Callable[[DataLoss], None],
    ) -> None:
        """``on_damage`` hears of damaged chunks of the base, read from the source instead."""
        self._flow = flow
        self._source = source
        self._shape = shape
        self._planner = planner
        self._units: Iterator[Unit] = planner.units()
        self._target = target
        self._writer = writer
        self._base = base
        self._readers = readers
        self._workers = workers
        self._buffers = buffers
        self._total_bytes = total_bytes
        self._listener = listener
        self._on_damage = on_damage
        self._zeros: Final = bytes(shape.chunk_bytes)
        self._lock = threading.Lock()
        self._planning = threading.Lock()
        self._free: Belt[bytearray] = Belt(flow)
        self._full: Belt[tuple[Unit, bytearray]] = Belt(flow)
        self.read_bytes = 0

    @property
    def resumed_bytes(self) -> int:
        return min(self._planner.resumed_blocks * BLOCK_BYTES, self._shape.size_bytes)

    def run(self) -> None:
        """Read and store everything planned; returns when all entries are known, or the flow failed."""
        for _ in range(self._buffers):
            self._free.put(bytearray(self._shape.chunk_bytes))
        readers = [self._flow.start(f"read-{n}", self._read) for n in range(self._readers)]
        workers = [self._flow.start(f"work-{n}", self._work) for n in range(self._workers)]
        for thread in readers:
            thread.join()
        self._full.close()
        for thread in workers:
            thread.join()

    def _read(self) -> None:
        while True:
            buffer = self._free.get()
            with self._planning:
                unit = next(self._units, None)
            if unit is None:
                self._free.put(buffer)
                return
            read = self._fill(unit, buffer)
            with self._lock:
                self.read_bytes += read
            self._full.put((unit, buffer))

    def _fill(self, unit: Unit, buffer: bytearray) -> int:
        """Read the unit's blocks back to back; what lies beyond the disk's end becomes zeros."""
        at = read = 0
        with memoryview(buffer) as view:
            for part in unit.parts:
                for first, count in runs(part.bitmap):
                    offset = part.chunk * self._shape.chunk_bytes + first * BLOCK_BYTES
                    length = min(count * BLOCK_BYTES, self._shape.size_bytes - offset)
                    self._flow.check()
                    self._source.read_into(offset, view[at : at + length])
                    view[at + length : at + count * BLOCK_BYTES] = bytes(count * BLOCK_BYTES - length)
                    at += count * BLOCK_BYTES
                    read += length
            if unit.way is Way.WHOLE:
                view[at:] = bytes(len(buffer) - at)
        return read

    def _work(self) -> None:
        while True:
            try:
                unit, buffer = self._full.get()
            except Closed:
                return
            if unit.way is Way.GROUP:
                self._store_group(unit, buffer)
            else:
                part = unit.parts[0]
                content = buffer if unit.way is Way.WHOLE else self._folded(part, buffer)
                entry = None if content == self._zeros else Entry(self._writer.store(BlobType.CHUNK, content))
                self._target.done(part.chunk, entry)
            self._free.put(buffer)
            self._tell()

    def _folded(self, part: Part, blocks: bytearray) -> bytearray:
        """The chunk as the repository has it, overlaid by what was read; if damaged, all from the source."""
        content = bytearray(self._shape.chunk_bytes)
        if part.base is not None:
            try:
                content[:] = read_chunks(self._base, [part.base], self._shape.chunk_bytes)[0]
            except DataLoss as error:
                self._on_damage(error)
                whole = Part(part.chunk, (1 << blocks_in_chunk(part.chunk, self._shape)) - 1, None)
                read = self._fill(Unit(Way.WHOLE, (whole,)), content)
                with self._lock:
                    self.read_bytes += read
                return content
        at = 0
        for first, count in runs(part.bitmap):
            end = at + count * BLOCK_BYTES
            content[first * BLOCK_BYTES : (first + count) * BLOCK_BYTES] = blocks[at:end]
            at = end
        return content

    def _store_group(self, unit: Unit, buffer: bytearray) -> None:
        payload = bytearray()
        patched: list[tuple[Part, int, int, int]] = []
        at = 0
        for part in unit.parts:
            zero_bits, first = 0, len(payload) // BLOCK_BYTES
            for bit in bits(part.bitmap):
                block = buffer[at : at + BLOCK_BYTES]
                at += BLOCK_BYTES
                if block == ZERO_BLOCK and _room_for_zeros(part):
                    zero_bits |= 1 << bit
                else:
                    payload += block
            patched.append((part, zero_bits, part.bitmap & ~zero_bits, first))
        group = self._writer.store(BlobType.GROUP, payload) if payload else None
        for part, zero_bits, data_bits, first in patched:
            fresh = [Patch(zero_bits)] if zero_bits and part.base is not None else []
            if data_bits:
                fresh.append(Patch(data_bits, group, first))
            self._target.done(part.chunk, _patched(part, fresh))

    def _tell(self) -> None:
        if self._listener is None:
            return
        with self._lock:
            read = self.read_bytes
        self._listener(
            Progress(self._total_bytes, read, self.resumed_bytes, self._writer.counts.sealed_bytes)
        )


def _kept_patches(part: Part) -> tuple[Patch, ...]:
    """Patches of the base that the new blocks do not cover completely."""
    return tuple(patch for patch in part.base.patches if patch.bitmap & ~part.bitmap) if part.base else ()


def _room_for_zeros(part: Part) -> bool:
    """Whether zero blocks may be a patch of their own beside the one with data."""
    return len(_kept_patches(part)) + 2 <= MAX_PATCHES


def _patched(part: Part, fresh: list[Patch]) -> Entry | None:
    chunk = part.base.chunk if part.base is not None else None
    patches = (*_kept_patches(part), *fresh)
    if chunk is None and all(patch.group is None for patch in patches):
        return None
    return Entry(chunk, patches)
