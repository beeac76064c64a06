"""Which parts of a disk were ever written, or differ from a base, from the head of a VHD.

Source: Microsoft, Virtual Hard Disk Image Format Specification 1.0: a copy of the 512-byte footer, the 1,024
byte dynamic header, and the block allocation table: a big-endian u32 per block, FFFFFFFF for one that is not
in the file: of a dynamic VHD it was never written and reads as zeros, of a differencing one it is the base's.
"""

import struct

from services.hypervisor.domain.extents import BLOCK_BYTES

FOOTER_BYTES = 512
HEADER_BYTES = 1024
HEAD_BYTES = FOOTER_BYTES + HEADER_BYTES
MAX_TABLE_BYTES = 64 << 20
_UNALLOCATED = b"\xff\xff\xff\xff"
_DYNAMIC, _DIFFERENCING = 3, 4


def table_span(head: bytes, *, differencing: bool = False) -> tuple[int, int]:
    """(offset, length) in bytes of the table, from the first HEAD_BYTES. Raises ValueError with why not."""
    if len(head) < HEAD_BYTES or head[:8] != b"conectix":
        raise ValueError("it is not a VHD")
    if struct.unpack_from(">I", head, 60)[0] != (_DIFFERENCING if differencing else _DYNAMIC):
        raise ValueError(f"it is not a {'differencing' if differencing else 'dynamic'} VHD")
    header = head[FOOTER_BYTES:]
    if header[:8] != b"cxsparse":
        raise ValueError("its dynamic header is damaged")
    (offset,) = struct.unpack_from(">Q", header, 16)
    entries, block_bytes = struct.unpack_from(">II", header, 28)
    if block_bytes == 0 or block_bytes % BLOCK_BYTES or 4 * entries > MAX_TABLE_BYTES or offset < HEAD_BYTES:
        raise ValueError("its dynamic header makes no sense")
    return offset, 4 * entries


def allocation_bitmap(head: bytes, table: bytes, size_bytes: int) -> bytes:
    """A bitmap like that of changed blocks: a bit for each 64 KiB, most significant first, set where written.

    Raises ValueError when the table does not cover ``size_bytes``.
    """
    (block_bytes,) = struct.unpack_from(">I", head, FOOTER_BYTES + 32)
    if len(table) // 4 * block_bytes < size_bytes:
        raise ValueError("its table is shorter than the disk")
    per_entry = block_bytes // BLOCK_BYTES
    bits = bytearray((len(table) // 4 * per_entry + 7) // 8)
    for index in range(len(table) // 4):
        if table[4 * index : 4 * index + 4] != _UNALLOCATED:
            for block in range(index * per_entry, (index + 1) * per_entry):
                bits[block >> 3] |= 0x80 >> (block & 7)
    return bytes(bits)
