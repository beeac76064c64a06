"""Header of a qcow2 image and where its parts lie (QEMU: docs/interop/qcow2.txt)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from services.simulator.storage.errors import BadImage

MAGIC = b"QFI\xfb"
COPIED = 1 << 63  # of a table entry: its cluster is used once
COMPRESSED = 1 << 62
ZERO = 1
OFFSET_MASK = 0x00FFFFFFFFFFFE00

_V2 = struct.Struct(">4sIQIIQIIQQIIQ")
_V3 = struct.Struct(">QQQII")
HEADER_SIZE = _V2.size + _V3.size


@dataclass(frozen=True)
class Header:
    """What a reader needs: sizes and offsets in bytes."""

    virtual_size: int
    cluster_size: int
    l1_entries: int
    l1_offset: int


def pack(virtual_size: int, cluster_bits: int, l1: tuple[int, int], refcounts: tuple[int, int]) -> bytes:
    """Header of a version 3 image; `l1`: its offset and entries, `refcounts`: offset and clusters."""
    l1_offset, l1_entries = l1
    table_offset, table_clusters = refcounts
    basic = _V2.pack(
        MAGIC, 3, 0, 0, cluster_bits, virtual_size, 0, l1_entries, l1_offset,
        table_offset, table_clusters, 0, 0,
    )  # fmt: skip
    return basic + _V3.pack(0, 0, 0, 4, HEADER_SIZE)


def unpack(data: bytes) -> Header:
    """BadImage when it is no qcow2, or one with features that nobody streams."""
    if len(data) < HEADER_SIZE or data[:4] != MAGIC:
        raise BadImage("the stream is no qcow2 image")
    (_, version, _, _, bits, size, encryption, entries, offset, _, _, _, _) = _V2.unpack_from(data)
    features = _V3.unpack_from(data, _V2.size)[0] if version == 3 else 0
    if version not in (2, 3) or encryption or features or size % 512:
        raise BadImage(
            f"qcow2 version {version}, encryption {encryption}, features {features:#x}, size {size}"
            " are not supported"
        )
    if not 12 <= bits <= 21:
        raise BadImage(f"qcow2 clusters of 2^{bits} bytes are not supported")
    needed = -(-size // (1 << (2 * bits - 3)))
    if not needed <= entries <= 4 * 1024 * 1024:
        raise BadImage(f"{entries} level 1 entries cannot be right for {size} bytes")
    return Header(size, 1 << bits, needed, offset)
