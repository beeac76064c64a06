"""Pages of a disk's map and their entries (docs/repository-format.md, section 7)."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from services.mover.repository.format.damaged import damaged
from services.mover.repository.format.names import (
    MAX_DELTA_DEPTH,
    MAX_GROUP_BLOCKS,
    MAX_PAGE_LEVEL,
    MAX_PATCHES,
    PAGE_ENTRIES,
)
from services.mover.repository.types import Bytes

_HEAD: Final = struct.Struct("<BBBBHH")
_BITMAP: Final = struct.Struct("<BQ")
_WHOLE, _DELTA = 1, 2
_ID_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Patch:
    """Blocks of a chunk that changed: bit b of ``bitmap`` is block b; without a group they became zero."""

    bitmap: int
    group: bytes | None = None
    first: int = 0


@dataclass(frozen=True, slots=True)
class Entry:
    """Content of one chunk: a base (zeros without one) overlaid by patches, oldest first."""

    chunk: bytes | None
    patches: tuple[Patch, ...] = ()

    def blob_ids(self) -> list[bytes]:
        ids = [self.chunk] if self.chunk is not None else []
        return ids + [patch.group for patch in self.patches if patch.group is not None]


Item = Entry | bytes | None
"""What a page holds at an index: an entry on level 0, a page id above; None is a hole on both."""


@dataclass(frozen=True, slots=True)
class Page:
    """A decoded page. ``items`` of a whole page leave holes out; those of a delta differ from its base."""

    level: int
    items: Mapping[int, Item]
    depth: int = 0
    base: bytes | None = None


def encode_page(page: Page) -> bytes:
    if page.base is None:
        count = max((index for index, item in page.items.items() if item is not None), default=-1) + 1
        assert 1 <= count <= PAGE_ENTRIES, "an all-hole page is a hole in its parent"
        body = b"".join(encode_item(page.items.get(index)) for index in range(count))
        return _HEAD.pack(_WHOLE, page.level, 0, 0, count, 0) + body
    changes = b"".join(i.to_bytes(2, "little") + encode_item(page.items[i]) for i in sorted(page.items))
    return _HEAD.pack(_DELTA, page.level, page.depth, 0, len(page.items), 0) + page.base + changes


def encode_item(item: Item) -> bytes:
    if item is None:
        return b"\0"
    if isinstance(item, bytes):
        return b"\1" + item
    head = bytes([(item.chunk is not None) | len(item.patches) << 1])
    return head + (item.chunk or b"") + b"".join(map(_encode_patch, item.patches))


def _encode_patch(patch: Patch) -> bytes:
    if patch.group is None:
        return _BITMAP.pack(0, patch.bitmap)
    return _BITMAP.pack(1, patch.bitmap) + bytes([patch.first]) + patch.group


def decode_page(data: Bytes, blocks_per_chunk: int, what: str) -> Page:
    """Raises DataLoss naming ``what`` unless ``data`` is exactly one page the format allows."""
    reader = ItemReader(data, blocks_per_chunk, what)
    form, level, depth, reserved, count, reserved2 = _HEAD.unpack(reader.take(_HEAD.size))
    if reserved or reserved2 or level > MAX_PAGE_LEVEL or not 1 <= count <= PAGE_ENTRIES:
        raise damaged(what, "its head is impossible")
    items: dict[int, Item] = {}
    if form == _WHOLE and depth == 0:
        for index in range(count):
            if (item := reader.item(level)) is not None:
                items[index] = item
        if count - 1 not in items:
            raise damaged(what, "it ends with a hole")
        base = None
    elif form == _DELTA and 1 <= depth <= MAX_DELTA_DEPTH:
        base = reader.take(_ID_BYTES)
        last = -1
        for _ in range(count):
            index = int.from_bytes(reader.take(2), "little")
            if not last < index < PAGE_ENTRIES:
                raise damaged(what, "its entries are out of order")
            items[index] = reader.item(level)
            last = index
    else:
        raise damaged(what, f"its form {form} at depth {depth} is unknown")
    reader.finish()
    return Page(level, items, depth, base)


class ItemReader:
    """Takes items from bytes, one after another."""

    def __init__(self, data: Bytes, blocks_per_chunk: int, what: str) -> None:
        self._data = bytes(data)
        self._blocks = blocks_per_chunk
        self._what = what
        self._at = 0

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def take(self, length: int) -> bytes:
        taken = self._data[self._at : self._at + length]
        if len(taken) != length:
            raise damaged(self._what, "it ends in the middle of an entry")
        self._at += length
        return taken

    def finish(self) -> None:
        if self.left:
            raise damaged(self._what, "something follows its last entry")

    def item(self, level: int) -> Item:
        tag = self.take(1)[0]
        if tag == 0:
            return None
        if level:
            if tag != 1:
                raise damaged(self._what, f"entry tag {tag} is unknown")
            return self.take(_ID_BYTES)
        if tag >> 4 or tag >> 1 > MAX_PATCHES:
            raise damaged(self._what, f"entry tag {tag} is unknown")
        chunk = self.take(_ID_BYTES) if tag & 1 else None
        return Entry(chunk, tuple(self._patch() for _ in range(tag >> 1)))

    def _patch(self) -> Patch:
        kind, bitmap = _BITMAP.unpack(self.take(_BITMAP.size))
        if not bitmap or bitmap >> self._blocks or kind > 1:
            raise damaged(self._what, "a patch is impossible")
        if kind == 0:
            return Patch(bitmap)
        first = self.take(1)[0]
        if first + bitmap.bit_count() > MAX_GROUP_BLOCKS:
            raise damaged(self._what, "a patch reaches beyond its group")
        return Patch(bitmap, self.take(_ID_BYTES), first)
