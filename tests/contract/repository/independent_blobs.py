"""Packs, and what is in them, by docs/repository-format.md alone (sections 6 and 7)."""

import hashlib
import struct
from collections.abc import Callable
from dataclasses import dataclass

import zstandard
from blake3 import blake3

from tests.contract.repository.independent_keys import data_key, hkdf, opened, parse_epoch_record, require

TYPES = {1: b"chunk", 2: b"group", 3: b"page", 4: b"piece", 5: b"list"}
KINDS = {"data": 1, "meta": 2}
BLOCK = 65_536
Blobs = Callable[[int, bytes], bytes]
"""The plaintext of a blob by type and id; raises Refused when it is nowhere."""


@dataclass(frozen=True)
class Patch:
    bitmap: int
    group: bytes | None
    first: int


Item = bytes | tuple[bytes | None, tuple[Patch, ...]] | None
"""A page's id; a base chunk and patches; a hole."""


def parse_pack_header(data: bytes, repository_id: bytes) -> tuple[int, bytes, bytes, bytes]:
    """Kind, salt, epoch record, commitment."""
    require(len(data) == 168 and data[:9] == b"\x89XKPK\r\n\x1a\x01", "it does not begin like a pack")
    require(data[9] in KINDS.values(), "it is of an unknown kind")
    require(data[10:16] == bytes(6) and data[164:168] == bytes(4), "reserved bytes are set")
    require(data[16:32] == repository_id, "it is of another repository")
    parse_epoch_record(data[64:132])
    return data[9], data[32:64], data[64:132], data[132:164]


def parse_pack_footer(data: bytes, pack_bytes: int) -> tuple[int, int, int]:
    """Bytes of the blobs, bytes of the directory, number of blobs."""
    blobs, directory, count = struct.unpack("<QII", data[:16])
    require(data[16:24] == bytes(8) and data[24:] == b"XKPKEND1", "it does not end like a pack")
    require(pack_bytes <= 128 << 20, "it is too large")
    require(168 + blobs + directory + 32 == pack_bytes, "its size is another")
    require(1 <= count <= 65_535 and directory == 44 * count + 16, "its directory cannot be")
    return blobs, directory, count


def parse_entry(entry: bytes) -> tuple[bytes, int, int, int, int]:
    """Id, type, compression, plain and stored length."""
    id_, type_, compression, reserved, plain, stored = struct.unpack("<32sBBHII", entry)
    require(type_ in TYPES and compression in (0, 1) and reserved == 0, "an entry is of an unknown kind")
    require(1 <= plain <= 4_194_304 and 17 <= stored <= plain + 16, "an entry has an impossible length")
    return id_, type_, compression, plain, stored


def read_pack(name: str, data: bytes, root: bytes, repository_id: bytes) -> dict[tuple[int, bytes], bytes]:
    """Every blob by type and id."""
    _, kind_name, folder, digest = name.split("/")
    require(hashlib.sha256(data).hexdigest() == digest and digest[:2] == folder, "it is not what it is named")
    kind, salt, record, commitment = parse_pack_header(data[:168], repository_id)
    require(kind == KINDS[kind_name], "it is of another kind")
    footer = data[-32:]
    blob_bytes, _, count = parse_pack_footer(footer, len(data))
    info = b"xenkeep/1 pack " + bytes([kind]) + repository_id
    keys = hkdf(data_key(root, repository_id, record), salt, info, 64)
    require(keys[32:] == commitment, "it was sealed with another key")
    aad = b"xenkeep/1 directory" + data[:168] + footer
    directory = opened(keys[:32], b"\xff" * 4 + bytes(8), data[168 + blob_bytes : -32], aad)
    require(len(directory) == 44 * count, "its directory is of another length")
    blobs = {}
    at = 168
    for slot in range(count):
        entry = directory[slot * 44 : slot * 44 + 44]
        id_, type_, compression, plain, stored = parse_entry(entry)
        place = slot.to_bytes(4, "little")
        aad = b"xenkeep/1 blob" + repository_id + salt + place + entry
        packed = opened(keys[:32], place + bytes(8), data[at : at + stored], aad)
        content = unpacked(compression, packed, plain)
        require(blob_id(root, repository_id, type_, content) == id_, "the content is another")
        blobs[type_, id_] = content
        at += stored
    require(at == 168 + blob_bytes, "its blobs have other lengths")
    return blobs


def blob_id(root: bytes, repository_id: bytes, type_: int, content: bytes) -> bytes:
    return blake3(content, key=hkdf(root, repository_id, b"xenkeep/1 id " + TYPES[type_])).digest()


def unpacked(compression: int, packed: bytes, plain_length: int) -> bytes:
    require(compression in (0, 1), "the compression is unknown")
    if compression:
        try:
            require(zstandard.frame_content_size(packed) == plain_length, "the frame has another length")
            decompressor = zstandard.ZstdDecompressor().decompressobj()
            packed, rest = decompressor.decompress(packed), decompressor.unused_data
            require(decompressor.eof and not rest, "it is not one frame")
        except zstandard.ZstdError:
            require(False, "it does not decompress")
    require(len(packed) == plain_length, "it has another length")
    return packed


def parse_page(data: bytes, blocks_per_chunk: int) -> tuple[int, int, bytes | None, dict[int, Item]]:
    """Level, depth, base and items; those of a whole page leave holes out."""
    require(len(data) >= 8, "it is too short")
    form, level, depth, reserved, count, reserved_too = struct.unpack("<BBBBHH", data[:8])
    require(not reserved and not reserved_too and level <= 4 and 1 <= count <= 1024, "its head cannot be")
    require((form, depth) == (1, 0) or (form == 2 and 1 <= depth <= 8), "its form is unknown")
    cursor = _Cursor(data, 8)
    base = cursor.take(32) if form == 2 else None
    items: dict[int, Item] = {}
    index = -1
    for _ in range(count):
        last, index = index, index + 1
        if base is not None:
            index = int.from_bytes(cursor.take(2), "little")
            require(last < index < 1024, "its entries are out of order")
        items[index] = _item(cursor, level, blocks_per_chunk)
    require(cursor.at == len(data), "something follows")
    require(base is not None or items[count - 1] is not None, "it ends with a hole")
    if base is None:
        items = {index: item for index, item in items.items() if item is not None}
    return level, depth, base, items


def _item(cursor: "_Cursor", level: int, blocks_per_chunk: int) -> Item:
    tag = cursor.take(1)[0]
    if tag == 0:
        return None
    if level:
        require(tag == 1, "an entry is of an unknown kind")
        return cursor.take(32)
    require(tag < 16 and tag >> 1 <= 4, "an entry is of an unknown kind")
    chunk = cursor.take(32) if tag & 1 else None
    return chunk, tuple(_patch(cursor, blocks_per_chunk) for _ in range(tag >> 1))


def _patch(cursor: "_Cursor", blocks_per_chunk: int) -> Patch:
    kind, bitmap = struct.unpack("<BQ", cursor.take(9))
    require(kind <= 1 and 0 < bitmap < 1 << blocks_per_chunk, "a patch cannot be")
    if not kind:
        return Patch(bitmap, None, 0)
    first = cursor.take(1)[0]
    require(first + bitmap.bit_count() <= 64, "a patch reaches beyond its group")
    return Patch(bitmap, cursor.take(32), first)


class _Cursor:
    def __init__(self, data: bytes, at: int) -> None:
        self._data = data
        self.at = at

    def take(self, length: int) -> bytes:
        require(self.at + length <= len(self._data), "it ends too early")
        self.at += length
        return self._data[self.at - length : self.at]


def read_page(blobs: Blobs, page_id: bytes, level: int, blocks_per_chunk: int) -> dict[int, Item]:
    """Items with all deltas applied, holes left out."""
    found, depth, base, items = parse_page(blobs(3, page_id), blocks_per_chunk)
    require(found == level, "it is of another level")
    if base is None:
        return items
    below = parse_page(blobs(3, base), blocks_per_chunk)
    require(below[1] + 1 == depth, "its base is of another depth")
    merged = read_page(blobs, base, level, blocks_per_chunk) | items
    return {index: item for index, item in merged.items() if item is not None}


def read_chunks(blobs: Blobs, root: bytes | None, size_bytes: int, chunk_bytes: int) -> dict[int, bytes]:
    """Contents by number, cut at the disk's end; those that are left out are zero."""
    chunks = -(-size_bytes // chunk_bytes)
    levels = 1
    while 1024**levels < chunks:
        levels += 1
    found: dict[int, bytes] = {}

    def descend(page_id: bytes, level: int, position: int) -> None:
        for index, item in read_page(blobs, page_id, level, chunk_bytes // BLOCK).items():
            here = position * 1024 + index
            if isinstance(item, bytes):
                descend(item, level - 1, here)
            elif item is not None and here < chunks:
                found[here] = _chunk(blobs, item, chunk_bytes)[: size_bytes - here * chunk_bytes]

    if root is not None:
        descend(root, levels - 1, 0)
    return found


def _chunk(blobs: Blobs, item: tuple[bytes | None, tuple[Patch, ...]], chunk_bytes: int) -> bytes:
    chunk, patches = item
    content = bytearray(blobs(1, chunk) if chunk is not None else bytes(chunk_bytes))
    require(len(content) == chunk_bytes, "a chunk has another length")
    for patch in patches:
        group = blobs(2, patch.group) if patch.group is not None else b""
        require(len(group) % BLOCK == 0, "a group is not made of blocks")
        at = patch.first * BLOCK
        for bit in range(64):
            if patch.bitmap >> bit & 1:
                block = group[at : at + BLOCK] if patch.group is not None else bytes(BLOCK)
                require(len(block) == BLOCK, "a group has fewer blocks")
                content[bit * BLOCK : (bit + 1) * BLOCK] = block
                at += BLOCK
    return bytes(content)


def parse_list(data: bytes) -> tuple[int, list[tuple[bytes, int]]]:
    """Level; id and bytes of each item."""
    require(len(data) >= 8 and data[1:4] == bytes(3), "its head cannot be")
    level, count = data[0], int.from_bytes(data[4:8], "little")
    require(level <= 3 and 1 <= count <= 16_384 and len(data) == 8 + 40 * count, "its head cannot be")
    return level, list(struct.iter_unpack("<32sQ", data[8:]))


def read_stream(blobs: Blobs, list_id: bytes | None, length: int) -> bytes:
    require((list_id is None) == (length == 0), "an empty stream has no list, every other one has")
    return b"" if list_id is None else _read_list(blobs, list_id, length, None)


def _read_list(blobs: Blobs, list_id: bytes, length: int, level: int | None) -> bytes:
    found, items = parse_list(blobs(5, list_id))
    require(level in (None, found), "it is of another level")
    parts = []
    for id_, part_bytes in items:
        part = _read_list(blobs, id_, part_bytes, found - 1) if found else blobs(4, id_)
        require(len(part) == part_bytes, "a part has another length")
        parts.append(part)
    content = b"".join(parts)
    require(len(content) == length, "it has another length")
    return content
