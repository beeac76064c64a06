"""Files of a directory written and read as a whole or in part, large ones past the page cache."""

import os
from collections.abc import Sequence

from services.mover.repository.stores.past_cache import (
    WORTH_IT,
    read_past_cache,
    read_past_cache_into,
    write_past_cache,
)
from services.mover.repository.types import Bytes


def write_all(descriptor: int, parts: Sequence[Bytes]) -> None:
    """All of the parts, a large first one past the page cache."""
    for number, part in enumerate(parts):
        left = memoryview(part).cast("B")
        if number == 0 and len(left) >= WORTH_IT:
            left = write_past_cache(descriptor, left)
        while left:
            left = left[os.write(descriptor, left) :]


def read_up_to(descriptor: int, offset: int, length: int) -> bytes:
    """Up to ``length`` bytes; fewer only at the end of the file."""
    data = read_past_cache(descriptor, offset, length) if length >= WORTH_IT else b""
    data = data or os.pread(descriptor, length, offset)
    if len(data) in (0, length):
        return data
    pieces, have = [data], len(data)
    while have < length and (piece := os.pread(descriptor, length - have, offset + have)):
        pieces.append(piece)
        have += len(piece)
    return b"".join(pieces)


def read_up_to_into(descriptor: int, offset: int, length: int, room: memoryview) -> memoryview:
    """The same in ``room``, which has ``room_for(length)`` bytes."""
    data = read_past_cache_into(descriptor, offset, length, room)
    if len(data) == length:
        return data
    room[: len(data)] = data
    have = len(data)
    while have < length and (count := os.preadv(descriptor, [room[have:length]], offset + have)):
        have += count
    return room[:have]
