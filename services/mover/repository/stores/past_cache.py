"""Large pieces of files past the page cache (open(2), O_DIRECT).

A pack is written once and read seldom: in the page cache it would cost a copy, and push out what others on
the machine use. File systems that cannot do without the cache refuse with EINVAL; then it is used as ever.
"""

import contextlib
import errno
import fcntl
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from services.mover.repository.scratch import scratch

WORTH_IT: Final = 256 << 10
"""Smaller pieces are better off in the cache."""
_ALIGNED: Final = 4096
_PIECE: Final = 4 << 20


def write_past_cache(descriptor: int, data: memoryview) -> memoryview:
    """Write the beginning of ``data`` at the file's position, which is a multiple of 4096; what is left.

    All is left where that is impossible, also because ``data`` does not begin at a page.
    """
    with _where_possible(), _direct(descriptor):
        while len(data) >= _ALIGNED:
            written = os.write(descriptor, data[: len(data) // _ALIGNED * _ALIGNED])
            data = data[written:]
            if written % _ALIGNED:
                break
    return data


def open_past_cache(path: Path) -> int | None:
    """A descriptor for ``pwrite_past_cache`` on a file that is there; None where that is impossible."""
    with _where_possible():
        return os.open(path, os.O_WRONLY | os.O_DIRECT | os.O_NOFOLLOW)
    return None


def pwrite_past_cache(descriptor: int, data: memoryview, offset: int) -> memoryview:
    """``write_past_cache`` to an ``offset``, for a descriptor of ``open_past_cache``."""
    with _where_possible():
        while len(data) >= _ALIGNED and offset % _ALIGNED == 0:
            written = os.pwrite(descriptor, data[: len(data) // _ALIGNED * _ALIGNED], offset)
            data, offset = data[written:], offset + written
    return data


def read_past_cache(descriptor: int, offset: int, length: int) -> bytes:
    """Up to ``length`` bytes from ``offset``; fewer at the end of the file, and where it is impossible."""
    found = io.BytesIO()
    at, end = offset // _ALIGNED * _ALIGNED, offset + length
    with _where_possible(), _direct(descriptor):
        while at < end:
            view = scratch("past cache", min(_PIECE, -(-(end - at) // _ALIGNED) * _ALIGNED))
            count = os.preadv(descriptor, [view], at)
            found.write(view[max(0, offset - at) : min(count, end - at)])
            if count < len(view):
                break
            at += count
    return found.getvalue()


def room_for(length: int) -> int:
    """Bytes of memory that ``read_past_cache_into`` needs to read ``length`` from any offset."""
    return (-(-length // _ALIGNED) + 1) * _ALIGNED


def read_past_cache_into(descriptor: int, offset: int, length: int, room: memoryview) -> memoryview:
    """``read_past_cache`` without a copy: what it returns lies in ``room``, which begins at a page."""
    lead = offset % _ALIGNED
    end = -(-(lead + length) // _ALIGNED) * _ALIGNED
    have = 0
    with _where_possible(), _direct(descriptor):
        while have < end and (count := os.preadv(descriptor, [room[have:end]], offset - lead + have)):
            have += count
            if count % _ALIGNED:
                break
    return room[lead : min(max(have, lead), lead + length)]


@contextlib.contextmanager
def _direct(descriptor: int) -> Iterator[None]:
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    fcntl.fcntl(descriptor, fcntl.F_SETFL, flags | os.O_DIRECT)
    try:
        yield
    finally:
        fcntl.fcntl(descriptor, fcntl.F_SETFL, flags)


@contextlib.contextmanager
def _where_possible() -> Iterator[None]:
    """EINVAL is how a file system refuses; nothing was read or written by the call that got it."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
