"""Footer and header of a VHD (Microsoft, VHD Image Format Specification 1.0), as vhd-tool writes them."""

from __future__ import annotations

import struct
import uuid as uuids
from dataclasses import dataclass

from services.simulator.storage.errors import BadImage

SECTOR = 512
HEADER_SIZE = 1024
HEADER_OFFSET = 512
TABLE_OFFSET = 2048
BLOCK_SIZE = 2 * 1024 * 1024
UNUSED = 0xFFFFFFFF

DYNAMIC, DIFFERENCING = 3, 4

_FOOTER = struct.Struct(">8sIIQI4sIIQQHBBII16sB427x")
_HEADER = struct.Struct(">8sQQIIII16sII512s192s256x")
_FOOTER_CHECKSUM = slice(64, 68)
_HEADER_CHECKSUM = slice(36, 40)


@dataclass(frozen=True)
class Footer:
    """What a footer tells: virtual size in bytes, DYNAMIC or DIFFERENCING, where the header is."""

    virtual_size: int
    kind: int
    uuid: str
    timestamp: int = 0  # seconds since 2000-01-01; vhd-tool leaves it 0
    header_offset: int = HEADER_OFFSET


@dataclass(frozen=True)
class Header:
    """What a header tells: where the block table is, its entries, and the parent of a differencing disk."""

    entries: int
    table_offset: int = TABLE_OFFSET
    block_size: int = BLOCK_SIZE
    parent: str | None = None


def geometry(virtual_size: int) -> tuple[int, int, int]:
    """Cylinders, heads, sectors per track, by the specification's appendix."""
    sectors = min(virtual_size // SECTOR, 65535 * 16 * 255)
    if sectors >= 65535 * 16 * 63:
        return sectors // 255 // 16, 16, 255
    track = 17
    tracks = sectors // track
    heads = max(4, -(-tracks // 1024))
    if tracks >= heads * 1024 or heads > 16:
        track, heads = 31, 16
        tracks = sectors // track
    if tracks >= heads * 1024:
        track, heads = 63, 16
        tracks = sectors // track
    return tracks // heads, heads, track


def pack_footer(footer: Footer) -> bytes:
    """512 bytes."""
    size = footer.virtual_size
    cylinders, heads, track = geometry(size)
    return _with_checksum(
        _FOOTER.pack(
            b"conectix", 2, 0x00010000, footer.header_offset, footer.timestamp, b"caml", 0x00000001, 0,
            size, size, cylinders, heads, track, footer.kind, 0, uuids.UUID(footer.uuid).bytes, 0,
        ),
        _FOOTER_CHECKSUM,
    )  # fmt: skip


def pack_header(header: Header) -> bytes:
    """1024 bytes."""
    parent = b"" if header.parent is None else uuids.UUID(header.parent).bytes
    name = "" if header.parent is None else header.parent + ".vhd"
    return _with_checksum(
        _HEADER.pack(
            b"cxsparse", 0xFFFFFFFFFFFFFFFF, header.table_offset, 0x00010000, header.entries,
            header.block_size, 0, parent, 0, 0, name.encode("utf-16-be"), b"",
        ),
        _HEADER_CHECKSUM,
    )  # fmt: skip


def unpack_footer(data: bytes) -> Footer:
    """BadImage when it is none, or that of a fixed disk, whose stream has no footer in front."""
    fields = _FOOTER.unpack(data)
    if fields[0] != b"conectix":
        raise BadImage("the stream does not start with the footer of a dynamic VHD")
    _verify(data, _FOOTER_CHECKSUM, "footer")
    if fields[13] not in (DYNAMIC, DIFFERENCING):
        raise BadImage(f"a VHD of type {fields[13]} cannot be imported, only dynamic and differencing ones")
    return Footer(fields[9], fields[13], str(uuids.UUID(bytes=fields[15])), fields[4], fields[3])


def unpack_header(data: bytes) -> Header:
    """BadImage."""
    fields = _HEADER.unpack(data)
    if fields[0] != b"cxsparse":
        raise BadImage("there is no VHD header where the footer says")
    _verify(data, _HEADER_CHECKSUM, "header")
    return Header(fields[4], fields[2], fields[5], str(uuids.UUID(bytes=fields[7])))


def _checksum(data: bytes, place: slice) -> bytes:
    return (~(sum(data) - sum(data[place])) & 0xFFFFFFFF).to_bytes(4, "big")


def _with_checksum(data: bytes, place: slice) -> bytes:
    return data[: place.start] + _checksum(data, place) + data[place.stop :]


def _verify(data: bytes, place: slice, what: str) -> None:
    if data[place] != _checksum(data, place):
        raise BadImage(f"the checksum of the VHD {what} is wrong")
