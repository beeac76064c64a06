"""Compression. Contexts are not thread-safe in python-zstandard, so each thread has its own."""

import threading
from collections.abc import Callable

import zstandard

from services.mover.repository.format.damaged import damaged
from services.mover.repository.types import Bytes

RAW, ZSTD = 0, 1
DEFAULT_LEVEL = 1
_WORTH_IT = 0.97
_RUN = 1
"""A block that is one byte repeated."""

_local = threading.local()


def compress(plain: Bytes, level: int = DEFAULT_LEVEL) -> tuple[int, Bytes]:
    """Compression code and bytes; raw when zstd saves less than 3 %."""
    compressors: dict[int, zstandard.ZstdCompressor] = _local.__dict__.setdefault("compressors", {})
    if level not in compressors:
        compressors[level] = zstandard.ZstdCompressor(level=level, write_content_size=True)
    packed = compressors[level].compress(plain)
    return (ZSTD, packed) if len(packed) < _WORTH_IT * len(plain) else (RAW, plain)


def decompress(compression: int, data: Bytes, plain_length: int, what: str) -> Bytes:
    """Exactly ``plain_length`` bytes, checked before anything is allocated; raises DataLoss otherwise."""
    return decompress_into(compression, data, plain_length, bytearray, what)


def decompress_into(
    compression: int, data: Bytes, plain_length: int, room: Callable[[int], bytearray | memoryview], what: str
) -> Bytes:
    """The same into what ``room`` gives for a length; ``data`` itself when it is not compressed."""
    if compression == RAW:
        if len(data) != plain_length:
            raise damaged(what, f"it has {len(data)} bytes instead of {plain_length}")
        return data
    if compression != ZSTD:
        raise damaged(what, f"its compression {compression} is unknown")
    if "decompressor" not in _local.__dict__:
        _local.decompressor = zstandard.ZstdDecompressor()
    try:
        if zstandard.frame_content_size(data) != plain_length or _frame_length(data) != len(data):
            raise damaged(what, "its compressed frame has another length than announced")
        plain = room(plain_length)
        # With room for all of it zstd decodes in one go, straight into the room.
        length: int = _local.decompressor.stream_reader(data).readinto(plain)
    except (zstandard.ZstdError, IndexError):
        raise damaged(what, "it does not decompress") from None
    if length != plain_length:
        raise damaged(what, f"it has {length} bytes instead of {plain_length}")
    return plain


def _frame_length(data: Bytes) -> int:
    """Bytes of the frame ``data`` begins with (RFC 8878, section 3.1.1); IndexError when it is cut."""
    at = zstandard.frame_header_size(data)
    last = False
    while not last:
        head = data[at] | data[at + 1] << 8 | data[at + 2] << 16
        last, run = bool(head & 1), head >> 1 & 3 == _RUN
        at += 3 + (1 if run else head >> 3)
    return at + (4 if zstandard.get_frame_parameters(data).has_checksum else 0)
