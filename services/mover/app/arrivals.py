"""Objects on their way into a copy: what of them is durable survives cut streams and killed movers."""

import hashlib
import os
import threading
from collections.abc import Iterator, Set
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from services.chassis.clock import Clock
from services.chassis.errors import Aborted, InvalidInput, ResourceExhausted, Unavailable
from services.chassis.files import sync_directory
from services.mover.domain.replica import ARRIVED_WRONG
from services.mover.repository.lending import room_to_read

IN_MEMORY_BYTES: Final = 1 << 20
"""Objects up to this size are not worth a file: they begin anew."""
SYNC_BYTES: Final = 4 << 20
"""So many bytes are made durable together."""
KEPT_SECONDS: Final = 7 * 24 * 3600
MOST_HALF: Final = 256
"""Objects that nobody brings just now: whoever begins ever new ones takes no more room than this many."""
MOST_TOGETHER: Final = 1 << 20
"""Bytes of one message."""


class Arrival:
    """One object as one stream brings it. Methods block; one thread at a time."""

    def __init__(self, size: int, sha256: bytes, file: Path | None, token: "Token") -> None:
        """Goes on with ``file`` if it is there; without one everything is kept in memory."""
        self._size, self._sha256, self._file, self._token = size, sha256, file, token
        self._memory = bytearray()
        self.durable = 0
        self._written = 0
        self._descriptor = -1
        if file is not None:
            with _told(file):
                self._open(file)

    @property
    def complete(self) -> bool:
        return self._written == self._size

    def take(self, offset: int, data: bytes) -> int:
        """So many bytes are durable now. Raises InvalidInput for bytes that do not come next."""
        in_bounds = 0 < len(data) <= MOST_TOGETHER and offset + len(data) <= self._size
        if offset != self._written or not in_bounds:
            raise InvalidInput(
                f"{len(data)} bytes at {offset} do not follow the {self._written} of {self._size} here.",
                reason="REPLICA_OUT_OF_ORDER",
                hint="Begin again where the first answer says.",
            )
        with self._token.held():
            if self._file is None:
                self._memory += data
            else:
                with _told(self._file):
                    self._append(data)
        self._written += len(data)
        return self.durable

    @contextmanager
    def content(self) -> Iterator[memoryview]:
        """All of it, read back; gone when the block is left.

        Raises Unavailable, and forgets it, when it is not what was announced.
        """
        with room_to_read(self._size) as room:
            with self._token.held():
                data = self._read(room)
                self._require_announced(data)
            yield data

    def forget(self) -> None:
        """It is stored for good, or will never be."""
        with self._token.held():
            self._forget()

    def close(self) -> None:
        """No more comes by this stream; what is durable stays for the next one."""
        with self._token.lock:
            self._token.valid = False
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1

    def _read(self, room: memoryview) -> memoryview:
        """As much as is there, of ``size`` at most."""
        if self._file is None:
            return memoryview(bytes(self._memory))
        have = 0
        with _told(self._file), self._file.open("rb", buffering=0) as file:
            while have < self._size and (count := file.readinto(room[have : self._size])):
                have += count
        return room[:have]

    def _require_announced(self, data: memoryview) -> None:
        if hashlib.sha256(data).digest() == self._sha256:
            return
        self._forget()
        raise Unavailable(
            "What arrived is not what was announced; it is forgotten.",
            reason=ARRIVED_WRONG,
            hint="Send it again; if this goes on, look for faulty memory or a faulty disk on the way.",
        )

    def _forget(self) -> None:
        self._memory.clear()
        if self._file is not None:
            self._file.unlink(missing_ok=True)

    def _open(self, file: Path) -> None:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
        here = os.fstat(self._descriptor).st_size
        if here > self._size:
            os.ftruncate(self._descriptor, 0)
            here = 0
        os.fdatasync(self._descriptor)  # what an earlier process wrote and did not sync counts from now on
        sync_directory(file.parent)
        self.durable = self._written = here

    def _append(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            left = left[os.write(self._descriptor, left) :]
        written = self._written + len(data)
        if written == self._size or written - self.durable >= SYNC_BYTES:
            os.fdatasync(self._descriptor)
            self.durable = written


class Token:
    """The right to write what arrives under a key; the newest stream has it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.valid = True

    @contextmanager
    def held(self) -> Iterator[None]:
        """Raises Aborted when another stream brings the same object now."""
        with self.lock:
            if not self.valid:
                raise Aborted(
                    "Another stream brings this object now.",
                    reason="REPLICA_STREAM_REPLACED",
                    hint="Nothing to do: the other one goes on.",
                )
            yield

    def revoke(self) -> None:
        with self.lock:
            self.valid = False


class Arrivals:
    """Those of one mover. Safe from any thread."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder = folder
        self._clock = clock
        self._lock = threading.Lock()
        self._tokens: dict[tuple[str, bytes], Token] = {}

    def begin(self, repository_id: str, size: int, sha256: bytes) -> Arrival:
        """Begin, or go on, with an object of this size and content; whoever brought it before is replaced."""
        key = (repository_id, sha256)
        with self._lock:
            self._tokens = {each: token for each, token in self._tokens.items() if token.valid}
            before = self._tokens.get(key)
            token = self._tokens[key] = Token()
            if size > IN_MEMORY_BYTES:
                self._forget_oldest({self._file(*each) for each in self._tokens})
        if before is not None:
            before.revoke()
        file = self._file(repository_id, sha256) if size > IN_MEMORY_BYTES else None
        return Arrival(size, sha256, file, token)

    def drop(self, repository_id: str, sha256: bytes) -> None:
        """It is stored for good: whoever stored it may have died before it was forgotten here. A stream that
        brings it all the same forgets it itself.
        """
        with self._lock:
            token = self._tokens.get((repository_id, sha256))
        if token is not None and token.valid:
            return
        self._file(repository_id, sha256).unlink(missing_ok=True)

    def sweep(self) -> int:
        """Remove what nobody went on with for a week; how many."""
        swept, before = 0, self._clock.now().timestamp() - KEPT_SECONDS
        for file in self._folder.glob("*/*"):
            with suppress(FileNotFoundError):  # its object became whole meanwhile
                if file.stat().st_mtime < before:
                    file.unlink()
                    swept += 1
        return swept

    def _forget_oldest(self, under_way: Set[Path]) -> None:
        """All but MOST_HALF - 1 of those that no stream brings."""
        with _told(self._folder / "any"):
            half = [file for file in self._folder.glob("*/*") if file not in under_way]
            if len(half) < MOST_HALF:
                return
            for file in sorted(half, key=_modified)[: len(half) - MOST_HALF + 1]:
                file.unlink(missing_ok=True)

    def _file(self, repository_id: str, sha256: bytes) -> Path:
        return self._folder / repository_id / sha256.hex()


@contextmanager
def _told(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ResourceExhausted(
            f"What arrives cannot be kept in {file.parent}: {error.strerror}.",
            reason="REPLICA_NO_ROOM",
            hint="Free space in the receiving mover's data directory; the copy goes on where it was.",
        ) from error


def _modified(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except FileNotFoundError:
        return 0.0
