"""Disks as plain bytes."""

from __future__ import annotations

from collections.abc import Iterator

from services.simulator.storage.errors import BadImage
from services.simulator.storage.ports import BLOCK, SECTOR, Disk

PIECE = 1024 * 1024
_ZERO_BLOCK = bytes(BLOCK)


def export(disk: Disk) -> Iterator[bytearray]:
    """The whole disk, in pieces of 1 MiB."""
    for offset in range(0, disk.virtual_size, PIECE):
        piece = bytearray(min(PIECE, disk.virtual_size - offset))
        disk.read_into(offset, piece)
        yield piece


class RawImport:
    """Writes a stream from the start of a disk; a shorter one leaves the rest as it was.

    Blocks of zeroes do not allocate what was never written: a new disk stays as sparse as its image.
    """

    complete = False

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._offset = 0
        self._rest = bytearray()

    def feed(self, piece: bytes | bytearray | memoryview) -> None:
        """Write the whole blocks that are there by now."""
        self._rest += piece
        whole = len(self._rest) // BLOCK * BLOCK
        if self._offset + len(self._rest) > self._disk.virtual_size:
            raise BadImage(f"the image is larger than the disk of {self._disk.virtual_size} bytes")
        if whole:
            _write(self._disk, self._offset, bytes(memoryview(self._rest)[:whole]))
            del self._rest[:whole]
            self._offset += whole

    def finish(self) -> None:
        """Write what is left, keeping the rest of its last sector."""
        if self._rest:
            last = bytearray(-(-len(self._rest) // SECTOR) * SECTOR)
            self._disk.read_into(self._offset, last)
            last[: len(self._rest)] = self._rest
            self._disk.write(self._offset, last)
            self._rest.clear()


def _write(disk: Disk, offset: int, blocks: bytes) -> None:
    begin, zero = 0, None
    for position in range(0, len(blocks) + BLOCK, BLOCK):
        block = blocks[position : position + BLOCK]
        is_zero = block == _ZERO_BLOCK if block else None
        if zero is not None and is_zero != zero:
            if zero:
                disk.write_zeroes(offset + begin, position - begin)
            else:
                disk.write(offset + begin, memoryview(blocks)[begin:position])
            begin = position
        zero = is_zero
