"""Which 64 KiB blocks were written: one byte per block in a file, shared with the page cache.

The file is mapped, so a mark costs no system call and outlives the process. Bytes instead of bits keep every
search for a run of blocks inside one C call.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from pathlib import Path

WRITTEN, UNWRITTEN = b"\x01", b"\x00"
_COUNT_PIECE = 16 * 1024 * 1024


class BlockMap:
    """A growable map of written blocks. Callers serialise writers; readers need no lock."""

    def __init__(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            self._bytes = mmap.mmap(descriptor, 0)
        finally:
            os.close(descriptor)

    @staticmethod
    def create(path: Path, blocks: int) -> None:
        """Make the file of an empty map, replacing what an interrupted process may have left."""
        with open(path, "wb") as file:
            file.truncate(blocks)

    def __len__(self) -> int:
        return len(self._bytes)

    def has(self, block: int) -> bool:
        """True when `block` was written."""
        return block < len(self._bytes) and self._bytes[block] == 1

    def run(self, block: int, stop: int) -> tuple[bool, int]:
        """Whether `block` was written, and up to which block (at most `stop`) that stays so."""
        size = len(self._bytes)
        if block >= size:
            return False, stop
        written = self._bytes[block] == 1
        end = self._bytes.find(UNWRITTEN if written else WRITTEN, block, stop)
        if end >= 0:
            return written, end
        return written, min(stop, size) if written else stop

    def count(self, first: int = 0, stop: int | None = None) -> int:
        """How many blocks of the range were written."""
        end = len(self._bytes) if stop is None else stop
        parts = range(first, end, _COUNT_PIECE)
        return sum(self._bytes[part : min(end, part + _COUNT_PIECE)].count(WRITTEN) for part in parts)

    def mark(self, first: int, stop: int) -> None:
        """Note that the blocks from `first` to before `stop` are written."""
        self._bytes[first:stop] = WRITTEN * (stop - first)

    def merge(self, other: BlockMap) -> None:
        """Mark every block that `other` has marked; both have the same length, or `other` is shorter."""
        for first, stop in other.written():
            self.mark(first, stop)

    def grow(self, blocks: int) -> None:
        """Make room for `blocks`; new ones are unwritten. Nothing happens when there is room."""
        if blocks > len(self._bytes):
            self._bytes.resize(blocks)

    def written(self) -> Iterator[tuple[int, int]]:
        """Runs of written blocks, ascending: the first, and the one after the last."""
        stop = 0
        while (first := self._bytes.find(WRITTEN, stop)) >= 0:
            end = self._bytes.find(UNWRITTEN, first)
            stop = end if end >= 0 else len(self._bytes)
            yield first, stop
