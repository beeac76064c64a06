"""Which packs a verification that did not end has found whole: the next one goes on there."""

import fcntl
import os
import struct
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from services.mover.repository.scratchdb import ScratchDb
from services.mover.repository.stores.os_errors import translated

GOOD_FOR: Final = timedelta(days=7)
"""What was whole longer ago is read again: disks rot."""
_PACK: Final = struct.Struct("<32sQ")
"""SHA-256 and size."""
_TIME_BYTES: Final = len("2026-01-01T00:00:00+00:00\n")
_READ_PACKS: Final = 10_000
_MOST_BYTES: Final = 1 << 63
_SCHEMA: Final = "CREATE TABLE packs (sha256 BLOB PRIMARY KEY, size INTEGER NOT NULL) WITHOUT ROWID;"


class CheckedPacks:
    """A file: a line that says when the first of them began, then hash and size of each whole pack.

    Torn by a power loss it ends in a part of them, or in zeros, which are no pack's. A context manager;
    ``knows`` is for one thread, ``add`` for one at a time.
    """

    def __init__(self, path: Path | None, now: datetime) -> None:
        """Without a ``path``, and while another verification has it, nothing is known or kept."""
        self.began = now.astimezone(UTC).replace(microsecond=0)
        self._path = path
        self._file = -1
        self._known = ScratchDb(_SCHEMA)
        try:
            if path is not None:
                with translated("use", str(path)):
                    self._open(path)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
        self._known.close()

    def knows(self, sha256: bytes, size: int) -> bool:
        """Whether an earlier verification found the pack whole, and it has that size still."""
        return bool(self._known.rows("SELECT 1 FROM packs WHERE sha256 = ? AND size = ?", (sha256, size)))

    def add(self, sha256: bytes, size: int) -> None:
        """This one did."""
        if self._file >= 0:
            with translated("write", str(self._path)):
                os.write(self._file, _PACK.pack(sha256, size))

    def forget(self) -> None:
        """The verification came to its end: the next one reads everything."""
        if self._path is not None and self._file >= 0:
            with translated("remove", str(self._path)):
                self._path.unlink(missing_ok=True)

    def _open(self, path: Path) -> None:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            return
        self._file = file
        began = _began(os.pread(file, _TIME_BYTES, 0))
        if began is None or not timedelta() <= self.began - began <= GOOD_FOR:
            os.ftruncate(file, 0)
            os.write(file, f"{self.began.isoformat()}\n".encode())
            return
        self.began = began
        size = os.fstat(file).st_size - _TIME_BYTES
        os.ftruncate(file, _TIME_BYTES + size - size % _PACK.size)
        for packs in _packs(file):
            with self._known.transaction():
                self._known.add("INSERT OR REPLACE INTO packs VALUES (?, ?)", packs)


def _began(line: bytes) -> datetime | None:
    try:
        began = datetime.fromisoformat(line.decode("ascii").removesuffix("\n"))
    except ValueError:
        return None
    return began if began.tzinfo is not None and len(line) == _TIME_BYTES else None


def _packs(file: int) -> Iterator[list[tuple[bytes, int]]]:
    at = _TIME_BYTES
    while some := os.pread(file, _READ_PACKS * _PACK.size, at):
        yield [(sha256, size) for sha256, size in _PACK.iter_unpack(some) if size < _MOST_BYTES]
        at += len(some)
