"""Which parts of a disk were ever written, from the head of a QCOW2 image (QEMU: docs/interop/qcow2.txt).

The pool sends header, reference counts, level 1 table, level 2 tables and then data, in this order
(xapi: python3/libexec/qcow2-to-stdout.py). An entry of a level 1 table tells where the level 2 table for so
many clusters is, one of a level 2 table where a cluster is; zero: never written.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from services.hypervisor.domain.extents import BLOCK_BYTES

HEADER_BYTES = 104
_HEADER = struct.Struct(">4sIQIIQIIQ24xQ")
_OFFSET = 0x00FFFFFFFFFFFE00
_MOST_BEFORE_TABLES = 16 << 20
_REFCOUNT_BYTES = 8


@dataclass(frozen=True)
class Layout:
    """Sizes and offsets in bytes."""

    size_bytes: int
    cluster_bytes: int
    l1_offset: int

    @property
    def l2_covers(self) -> int:
        """Bytes of the disk that one level 2 table tells of."""
        return self.cluster_bytes // 8 * self.cluster_bytes

    @property
    def l1_entries(self) -> int:
        """As many as the disk needs."""
        return -(-self.size_bytes // self.l2_covers)

    @property
    def l1_bytes(self) -> int:
        return self.l1_entries * 8


def layout(header: bytes) -> Layout:
    """From the first HEADER_BYTES. Raises ValueError with why the image cannot be used."""
    fields = _HEADER.unpack_from(header)
    magic, version, backing, _, bits, size, encryption, entries, l1_offset, features = fields
    if magic != b"QFI\xfb" or version != 3:
        raise ValueError("it is not a QCOW2 image of version 3")
    if backing or encryption or features:
        raise ValueError("it builds upon another image, or has features nobody here understands")
    if not 16 <= bits <= 21:
        raise ValueError(f"its clusters of 2^{bits} bytes are not from 64 KiB to 2 MiB")
    found = Layout(size, 1 << bits, l1_offset)
    most = size // found.cluster_bytes * _REFCOUNT_BYTES * 2 + _MOST_BEFORE_TABLES
    if entries < found.l1_entries or not HEADER_BYTES <= l1_offset <= most:
        raise ValueError("its header makes no sense")
    return found


def l2_tables(of: Layout, l1: bytes) -> Iterator[tuple[int, int]]:
    """(offset in the image, which table) of every level 2 table there is, by offset.

    Raises ValueError unless they follow the level 1 table closely: data would have to be read between them.
    """
    entries = struct.unpack(f">{of.l1_entries}Q", l1)
    tables = sorted((entry & _OFFSET, number) for number, entry in enumerate(entries) if entry & _OFFSET)
    end = of.l1_offset + of.l1_bytes
    for offset, number in tables:
        if not 0 <= offset - end < of.cluster_bytes:
            raise ValueError("its tables are not at its head")
        end = offset + of.cluster_bytes
        yield offset, number


class Allocation:
    """A bitmap like that of changed blocks: a bit for each 64 KiB, most significant first, set where it was
    ever written."""

    def __init__(self, of: Layout) -> None:
        self._per_entry = of.cluster_bytes // BLOCK_BYTES
        self._table_bytes = of.l2_covers // BLOCK_BYTES // 8
        self._bits = bytearray(of.l1_entries * self._table_bytes)
        self._length = -(-of.size_bytes // BLOCK_BYTES // 8)

    def add(self, number: int, l2: bytes) -> None:
        """What the level 2 table ``number`` tells."""
        entries = struct.unpack(f">{len(l2) // 8}Q", l2)
        digits = "".join(("1" if entry else "0") * self._per_entry for entry in entries)
        at = number * self._table_bytes
        self._bits[at : at + self._table_bytes] = int(digits, 2).to_bytes(self._table_bytes, "big")

    def bitmap(self) -> bytes:
        return bytes(self._bits[: self._length])
