"""Compression. Contexts are not thread-safe in python-zstandard, so each thread has its own."""

import threading

import zstandard

from services.mover.repository.format.damaged import damaged
from services.mover.repository.types import Bytes

RAW, ZSTD = 0, 1
DEFAULT_LEVEL = 1
_WORTH_IT = 0.97

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
    if compression == RAW:
        if len(data) != plain_length:
            raise damaged(what, f"it has {len(data)} bytes instead of {plain_length}")
        return data
    if compression != ZSTD:
        raise damaged(what, f"its compression {compression} is unknown")
    if "decompressor" not in _local.__dict__:
        _local.decompressor = zstandard.ZstdDecompressor()
    try:
        if zstandard.frame_content_size(data) != plain_length:
            raise damaged(what, "its compressed frame has another length than announced")
        plain: bytes = _local.decompressor.decompress(data, allow_extra_data=False)
    except zstandard.ZstdError:
        raise damaged(what, "it does not decompress") from None
    if len(plain) != plain_length:
        raise damaged(what, f"it has {len(plain)} bytes instead of {plain_length}")
    return plain
