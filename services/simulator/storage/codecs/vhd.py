"""Disks as VHD streams, dynamic or differencing against a base; written and read in one pass."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator

from services.simulator.storage.codecs.stepped import PIECE, SteppedImport, Steps, skip
from services.simulator.storage.codecs.vhd_format import (
    BLOCK_SIZE,
    DIFFERENCING,
    DYNAMIC,
    HEADER_SIZE,
    SECTOR,
    TABLE_OFFSET,
    UNUSED,
    Footer,
    Header,
    pack_footer,
    pack_header,
    unpack_footer,
    unpack_header,
)
from services.simulator.storage.errors import BadImage
from services.simulator.storage.ports import BLOCK, Disk, Extent

MAX_TABLE = 16 * 1024 * 1024  # bytes; four times that of the largest VHD
_FULL_BITMAP = b"\xff" * SECTOR
_BYTES_PER_BLOCK = BLOCK // SECTOR // 8  # of a sector bitmap


def export(
    disk: Disk, base: str | None = None, *, uuid: str, timestamp: int = 0
) -> Iterator[bytes | bytearray]:
    """The disk as a dynamic VHD, or what may differ from node `base` as a differencing one. DiskMissing.

    `uuid` names the image; `timestamp` is in seconds since 2000 (vhd-tool writes 0).
    """
    bitmaps = _bitmaps(disk.extents() if base is None else disk.differences(base))
    footer = pack_footer(
        Footer(disk.virtual_size, DYNAMIC if base is None else DIFFERENCING, uuid, timestamp)
    )
    entries = -(-disk.virtual_size // BLOCK_SIZE)
    table = _table(entries, bitmaps)
    yield (
        footer
        + pack_header(Header(entries, parent=base))
        + bytes(TABLE_OFFSET - SECTOR - HEADER_SIZE)
        + table
    )
    for block, bitmap in bitmaps.items():
        piece = bytearray(SECTOR + BLOCK_SIZE)
        piece[:SECTOR] = _FULL_BITMAP if base is None else bitmap
        length = min(BLOCK_SIZE, disk.virtual_size - block * BLOCK_SIZE)
        disk.read_into(block * BLOCK_SIZE, memoryview(piece)[SECTOR : SECTOR + length])
        yield piece
    yield footer


def _bitmaps(extents: Iterable[Extent]) -> dict[int, bytearray]:
    """Sector bitmap of every VHD block that has data, in ascending order."""
    found: dict[int, bytearray] = {}
    for extent in extents:
        if extent.data:
            for part in range(extent.offset // BLOCK, -(-(extent.offset + extent.length) // BLOCK)):
                block, place = divmod(part * BLOCK, BLOCK_SIZE)
                begin = place // BLOCK * _BYTES_PER_BLOCK
                bitmap = found.setdefault(block, bytearray(SECTOR))
                bitmap[begin : begin + _BYTES_PER_BLOCK] = b"\xff" * _BYTES_PER_BLOCK
    return found


def _table(entries: int, blocks: Iterable[int]) -> bytes:
    """The block allocation table, padded to whole sectors."""
    size = -(-entries * 4 // SECTOR) * SECTOR
    sectors = [UNUSED] * entries
    sector = (TABLE_OFFSET + size) // SECTOR
    for block in blocks:
        sectors[block] = sector
        sector += 1 + BLOCK_SIZE // SECTOR
    return struct.pack(f">{entries}I", *sectors) + b"\xff" * (size - entries * 4)


class VhdImport(SteppedImport):
    """Writes the sectors a VHD stream holds; the others are left as they are.

    So a dynamic VHD belongs on a new disk, and a differencing one on a disk that holds its base.
    """

    def __init__(self, disk: Disk) -> None:
        super().__init__("VHD", _steps(disk))


def _steps(disk: Disk) -> Steps:
    footer = unpack_footer((yield SECTOR))
    if footer.virtual_size > disk.virtual_size:
        raise BadImage(f"the VHD of {footer.virtual_size} bytes is larger than the disk")
    yield from _go(SECTOR, footer.header_offset)
    header = unpack_header((yield HEADER_SIZE))
    if header.block_size % BLOCK_SIZE or not 0 < header.block_size <= 64 * BLOCK_SIZE:
        raise BadImage(f"VHD blocks of {header.block_size} bytes are not supported, only multiples of 2 MiB")
    if not 0 < header.entries * 4 <= MAX_TABLE:
        raise BadImage(f"a VHD block table of {header.entries} entries is not believable")
    yield from _go(footer.header_offset + HEADER_SIZE, header.table_offset)
    sectors = struct.unpack(f">{header.entries}I", (yield header.entries * 4))
    position = header.table_offset + header.entries * 4
    blocks = sorted((sector, block) for block, sector in enumerate(sectors) if sector != UNUSED)
    bitmap_size = -(-header.block_size // SECTOR // 8 // SECTOR) * SECTOR
    for sector, block in blocks:
        yield from _go(position, sector * SECTOR)
        yield from _block(
            disk, footer.virtual_size, block * header.block_size, header.block_size, bitmap_size
        )
        position = sector * SECTOR + bitmap_size + header.block_size


def _block(disk: Disk, end: int, offset: int, size: int, bitmap_size: int) -> Steps:
    """Write the sectors of one block that its bitmap says are there and that lie within the image."""
    digits = format(int.from_bytes((yield bitmap_size), "big"), f"0{bitmap_size * 8}b")
    at = 0
    for run in re.finditer("1+", digits[: size // SECTOR]):
        yield from skip(run.start() * SECTOR - at)
        at = run.start() * SECTOR
        while at < run.end() * SECTOR:
            data = yield min(PIECE, run.end() * SECTOR - at)
            disk.write(offset + at, data[: max(0, end - offset - at)])
            at += len(data)
    yield from skip(size - at)


def _go(position: int, target: int) -> Steps:
    if target < position:
        raise BadImage(f"VHD parts overlap or are out of order: one at {target}, after {position} bytes")
    yield from skip(target - position)
