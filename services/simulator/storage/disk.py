"""An open disk: reads and writes through a chain of layers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence

from services.simulator.storage.block_map import BlockMap
from services.simulator.storage.errors import DiskMissing, OutOfRange
from services.simulator.storage.layer import Layer
from services.simulator.storage.ports import BLOCK, SECTOR, Extent

Chain = tuple[Layer, ...]  # the layer that is written first, the root last

ZEROES = memoryview(bytes(2 * 1024 * 1024))


class CowDisk:
    """A copy-on-write disk.

    `lock` is held by writers, and by the SR while it changes the top layer or the log. Readers take no lock:
    the chain is replaced whole, and replacing it never changes what it reads as.
    """

    def __init__(self, uuid: str, chain_of: Callable[[str], Chain]) -> None:
        self.uuid = uuid
        self.lock = threading.RLock()
        self.touched: set[int] | None = None  # set during leaf coalescing: blocks written meanwhile
        self._chain_of = chain_of
        self._chain: Chain = ()
        self._log: BlockMap | None = None
        self._size = 0

    @property
    def virtual_size(self) -> int:
        """Bytes."""
        return self._size

    def attach(self, chain: Chain, log: BlockMap | None, virtual_size: int) -> None:
        """Go on with this chain; called by the SR."""
        self._chain, self._log, self._size = chain, log, virtual_size

    def retire(self) -> None:
        """The disk was destroyed: its parents may be rewritten any time, so nothing can be read here."""
        self._chain, self._log = (), None

    def read_into(self, offset: int, buffer: memoryview | bytearray) -> None:
        """Fill `buffer` from `offset`."""
        view = memoryview(buffer).cast("B")
        self._check(offset, len(view))
        self._read(offset, view)

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Write `data` at `offset`, all of it below one layer."""
        view = memoryview(data).cast("B")
        self._check(offset, len(view))
        if not view:
            return
        first, stop = offset // BLOCK, -(-(offset + len(view)) // BLOCK)
        with self.lock:
            leaf = self._layers()[0]
            leaf.reserve(first, stop)
            # The log before the data: killed in between, an incremental reads too much, never too little.
            if self._log is not None:
                self._log.mark(first, stop)
            if self.touched is not None:
                self.touched.update(range(first, stop))
            self._copy_up(leaf, offset)
            self._copy_up(leaf, offset + len(view))
            leaf.write(offset, view)
            leaf.map.mark(first, stop)

    def write_zeroes(self, offset: int, length: int) -> None:
        """Write zeroes where anything was ever written."""
        self._check(offset, length)
        with self.lock:
            for extent in self.extents(offset, length):
                if extent.data:
                    self._write_zeroes(extent)

    def extents(self, offset: int = 0, length: int | None = None) -> Iterator[Extent]:
        """Cover the range; `data` where any layer was written."""
        end = self._size if length is None else offset + length
        self._check(offset, end - offset)
        return _extents([layer.map for layer in self._layers()], offset, end)

    def differences(self, base: str) -> Iterator[Extent]:
        """Cover the disk; `data` where a layer above the common ancestor was written, on either side."""
        mine, theirs = self._layers(), self._chain_of(base)
        shared = {layer.number for layer in mine} & {layer.number for layer in theirs}
        maps = [layer.map for layer in (*mine, *theirs) if layer.number not in shared]
        return _extents(maps, 0, self._size)

    def _layers(self) -> Chain:
        chain = self._chain
        if not chain:
            raise DiskMissing(self.uuid)
        return chain

    def _check(self, offset: int, length: int) -> None:
        if offset % SECTOR or length % SECTOR:
            raise OutOfRange(f"offset {offset} and length {length} must be multiples of {SECTOR}")
        if offset < 0 or length < 0 or offset + length > self._size:
            raise OutOfRange(f"{length} bytes at {offset} leave the disk of {self._size} bytes")

    def _read(self, offset: int, view: memoryview) -> None:
        chain = self._layers()
        end = offset + len(view)
        last = -(-end // BLOCK)
        position = offset
        while position < end:
            block, stop = position // BLOCK, last
            for layer in chain:
                written, stop = layer.map.run(block, stop)
                if written:
                    break
            until = min(end, stop * BLOCK)
            part = view[position - offset : until - offset]
            if written:
                layer.read_into(position, part)
            else:
                _clear(part)
            position = until

    def _copy_up(self, leaf: Layer, edge: int) -> None:
        """Bring the whole block around an unaligned edge of a write into the leaf, unmarked as yet."""
        block = edge // BLOCK
        if edge % BLOCK and not leaf.map.has(block):
            buffer = memoryview(bytearray(BLOCK))
            self._read(block * BLOCK, buffer)
            leaf.write(block * BLOCK, buffer)

    def _write_zeroes(self, extent: Extent) -> None:
        end = extent.offset + extent.length
        for position in range(extent.offset, end, len(ZEROES)):
            self.write(position, ZEROES[: end - position])


def _clear(view: memoryview) -> None:
    for position in range(0, len(view), len(ZEROES)):
        part = view[position : position + len(ZEROES)]
        part[:] = ZEROES[: len(part)]


def _extents(maps: Sequence[BlockMap], offset: int, end: int) -> Iterator[Extent]:
    last = -(-end // BLOCK)
    begin, data = offset, None
    block = offset // BLOCK
    while block < last:
        written, stop = _union_run(maps, block, last)
        if data is not None and written != data:
            yield Extent(begin, block * BLOCK - begin, data)
            begin = block * BLOCK
        data, block = written, stop
    if data is not None:
        yield Extent(begin, end - begin, data)


def _union_run(maps: Iterable[BlockMap], block: int, stop: int) -> tuple[bool, int]:
    written = False
    for one in maps:
        written, stop = one.run(block, stop)
        if written:
            break
    return written, stop
