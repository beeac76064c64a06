"""What is put into a bucket, as the client wants it."""

import base64
import hashlib
import io
from collections.abc import Sequence
from typing import Any

from services.mover.repository.types import Bytes


class Body(io.RawIOBase):
    """Parts one after the other, as a file to be read: a pack is not put together for it."""

    def __init__(self, parts: Sequence[Bytes]) -> None:
        self._parts = [memoryview(part).cast("B") for part in parts]
        self._size = sum(map(len, self._parts))
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = min(max(0, start + offset), self._size)
        return self._at

    def readinto(self, buffer: Any) -> int:
        place, start = memoryview(buffer).cast("B"), self._at
        before = done = 0
        for part in self._parts:
            some = part[max(0, start + done - before) :][: len(place) - done]
            place[done : done + len(some)] = some
            done += len(some)
            before += len(part)
        self._at += done
        return done


def size_of(parts: Sequence[Bytes]) -> int:
    """In bytes."""
    return sum(memoryview(part).nbytes for part in parts)


def checksum_of(parts: Sequence[Bytes]) -> str:
    """The SHA-256 of the parts together, as S3 writes it."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return base64.b64encode(digest.digest()).decode()
