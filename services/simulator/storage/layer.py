"""One layer of a disk: the blocks written while it was the top of its chain."""

from __future__ import annotations

import os
import weakref
from pathlib import Path

from services.simulator.storage.block_map import BlockMap
from services.simulator.storage.ports import BLOCK
from services.simulator.storage.space import Space

COPY_PIECE = 2 * 1024 * 1024


def data_path(folder: Path, number: int) -> Path:
    """Sparse file with the blocks, each at its own offset."""
    return folder / f"{number}.layer"


def map_path(folder: Path, number: int) -> Path:
    """Map of the blocks that are written."""
    return folder / f"{number}.map"


class Layer:
    """An open layer. Its files are closed when nobody refers to it any more, even if removed before."""

    def __init__(self, folder: Path, number: int, space: Space) -> None:
        self.number = number
        self.map = BlockMap(map_path(folder, number))
        self._space = space
        self._data = os.open(data_path(folder, number), os.O_RDWR | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self._data)

    @staticmethod
    def create(folder: Path, number: int, virtual_size: int) -> None:
        """Make the files of an empty layer."""
        BlockMap.create(map_path(folder, number), virtual_size // BLOCK)
        with open(data_path(folder, number), "wb") as file:
            file.truncate(virtual_size)

    @staticmethod
    def remove(folder: Path, number: int) -> None:
        """Remove the files; whoever has the layer open can go on."""
        data_path(folder, number).unlink(missing_ok=True)
        map_path(folder, number).unlink(missing_ok=True)

    def read_into(self, offset: int, view: memoryview) -> None:
        """Read bytes of written blocks."""
        while view:
            count = os.preadv(self._data, [view], offset)
            if count == 0:
                raise OSError(f"layer {self.number} ends before offset {offset}; its file was cut")
            view, offset = view[count:], offset + count

    def write(self, offset: int, data: memoryview) -> None:
        """Write bytes; they count only when their blocks are marked."""
        while data:
            count = os.pwrite(self._data, data, offset)
            data, offset = data[count:], offset + count

    def reserve(self, first: int, stop: int) -> None:
        """Count the room for those blocks of the range that are new. NoSpace."""
        new = stop - first - self.map.count(first, stop)
        self._space.reserve(self.number, new * BLOCK)

    def grow(self, virtual_size: int) -> None:
        """Make room for a larger disk."""
        if virtual_size > len(self.map) * BLOCK:
            os.ftruncate(self._data, virtual_size)
            self.map.grow(virtual_size // BLOCK)

    def take_blocks(self, source: Layer, first: int, stop: int) -> None:
        """Copy blocks that `source` has written into this layer. NoSpace, with nothing changed."""
        self.reserve(first, stop)
        buffer = memoryview(bytearray(min(COPY_PIECE, (stop - first) * BLOCK)))
        for offset in range(first * BLOCK, stop * BLOCK, COPY_PIECE):
            piece = buffer[: min(COPY_PIECE, stop * BLOCK - offset)]
            source.read_into(offset, piece)
            self.write(offset, piece)
        self.map.mark(first, stop)
