"""Streams: opaque bytes cut into pieces, known by a list of them (docs/repository-format.md, section 7)."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from services.mover.repository.format.damaged import damaged
from services.mover.repository.types import Bytes

_HEAD: Final = struct.Struct("<B3xI")
_ITEM: Final = struct.Struct("<32sQ")
LIST_ITEMS: Final = 16_384
MAX_LEVEL: Final = 3


@dataclass(frozen=True, slots=True)
class StreamRef:
    """A stored stream: its length in bytes, the id of its top list (None when it is empty), and what it is.

    ``kind`` is the caller's word, such as ``memory``; empty for a document.
    """

    length: int
    list_id: bytes | None
    kind: str = ""


@dataclass(frozen=True, slots=True)
class ListItem:
    """A piece or a lower list, and how many bytes of the stream it stands for."""

    id: bytes
    length: int


def encode_list(level: int, items: Sequence[ListItem]) -> bytes:
    assert 1 <= len(items) <= LIST_ITEMS and level <= MAX_LEVEL
    return _HEAD.pack(level, len(items)) + b"".join(_ITEM.pack(item.id, item.length) for item in items)


def decode_list(data: Bytes, what: str) -> tuple[int, list[ListItem]]:
    """Level and items; raises DataLoss naming ``what`` unless ``data`` is exactly one list."""
    if len(data) < _HEAD.size:
        raise damaged(what, "it is too short for a list")
    level, count = _HEAD.unpack_from(data)
    if bytes(data[1:4]) != bytes(3) or level > MAX_LEVEL or not 1 <= count <= LIST_ITEMS:
        raise damaged(what, "its head is impossible")
    if len(data) != _HEAD.size + count * _ITEM.size:
        raise damaged(what, "its length is not what its head says")
    return level, [ListItem(*item) for item in _ITEM.iter_unpack(memoryview(data)[_HEAD.size :])]
