"""The directory a point is restored into with nothing but its repository."""

import fcntl
import json
import os
import re
import shutil
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from services.chassis.errors import AlreadyExists, FailedPrecondition, InvalidInput, ResourceExhausted
from services.chassis.files import sync_directory
from services.mover.repository.stores.os_errors import translated

RESULT = "restored.json"
WORK = ".xenkeep-restore"
PARTIAL = ".partial"
REACHED = ".reached"
_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class RestoreFolder:
    """One restore at a time, of one point. A file has its name only when it is complete and proven.

    Killed at any moment: what is unfinished ends in ``.partial``, ``.xenkeep-restore`` says of which point
    and how far it is, and the same restore started again goes on there. ``restored.json`` comes last.
    What fails before it has made a file leaves nothing.
    """

    def __init__(self, path: Path, claim: dict[str, str]) -> None:
        """``claim`` says what is restored: ``repository``, ``point`` and, of some disks only, ``disks``.

        Raises AlreadyExists when the directory holds something else.
        """
        self.path = path.absolute()
        self._claim = json.dumps(claim, sort_keys=True).encode()
        self._made = not self.path.exists()
        if not self._made and not self.path.is_dir():
            raise InvalidInput(
                f"{self.path} is not a directory.",
                reason="NOT_A_DIRECTORY",
                hint="Give a new or empty directory.",
            )
        with translated("make", str(self.path)):
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._check_empty_or_ours()
            (self.path / WORK).mkdir(mode=0o700, exist_ok=True)
            self._lock = os.open(self.path / WORK / "claim", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            self._take(claim)
        except BaseException:
            os.close(self._lock)
            raise

    def __enter__(self) -> "RestoreFolder":
        return self

    def __exit__(self, *_: object) -> None:
        with translated("close", str(self.path)):
            if set(os.listdir(self.path)) - {"lost+found"} == {WORK}:  # nothing came of it
                shutil.rmtree(self.path / WORK)
                if self._made:
                    self.path.rmdir()
        os.close(self._lock)

    def has(self, name: str) -> bool:
        """Whether an earlier attempt finished this file."""
        return (self.path / name).is_file()

    def partial(self, name: str) -> Path:
        return self.path / (name + PARTIAL)

    def reached(self, name: str, size_bytes: int) -> int:
        """Below which offset an unfinished file of this size is durably written; 0 when nobody knows."""
        try:
            reached = int((self.path / WORK / (name + REACHED)).read_text(encoding="ascii"))
            whole = self.partial(name).stat().st_size == size_bytes
        except (FileNotFoundError, ValueError):
            return 0
        return reached if whole and 0 <= reached <= size_bytes else 0

    def note_reached(self, name: str, offset: int) -> None:
        """An unfinished file is durably written below ``offset``; 0: it is to be made from its beginning."""
        with translated("write", name):
            note = self.path / WORK / (name + REACHED)
            partial = note.with_suffix(PARTIAL)
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
            with os.fdopen(os.open(partial, flags, 0o600), "w", encoding="ascii") as file:
                file.write(str(offset))
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, note)

    def held(self, name: str) -> int:
        """Bytes of the disk that an unfinished file takes already."""
        try:
            return self.partial(name).stat().st_blocks * 512  # stat(2): in units of 512 bytes
        except FileNotFoundError:
            return 0

    def require_room(self, needed_bytes: int) -> None:
        """Raises ResourceExhausted before anything is written."""
        free = shutil.disk_usage(self.path).free
        if free < needed_bytes:
            raise ResourceExhausted(
                f"{self.path} has {free} bytes free; the disks take {needed_bytes}.",
                reason="NO_ROOM_TO_RESTORE",
                hint="Give a directory on a larger file system.",
            )

    def require_free_names(self, names: Iterable[str], taken: Collection[str]) -> None:
        """Raises InvalidInput for a name that is ``taken`` or one of this directory's own."""
        for name in names:
            _require(name not in {RESULT, *taken} and not name.endswith(PARTIAL), name)

    def complete(self, name: str) -> None:
        """Give a finished file its name; durable on return."""
        with translated("name", name):
            os.replace(self.partial(name), self.path / name)
            sync_directory(self.path)

    def write(self, name: str, data: bytes) -> None:
        """A small file, whole or not at all."""
        self.write_pieces(name, [data])

    def write_pieces(self, name: str, pieces: Iterable[bytes]) -> None:
        """A file of any size, whole or not at all. Raises InvalidInput for a name that could lead elsewhere,
        whatever a repository says."""
        _require(_SAFE.fullmatch(name) is not None, name)
        with translated("write", name):
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
            with os.fdopen(os.open(self.partial(name), flags, 0o600), "wb") as file:
                for piece in pieces:
                    file.write(piece)
                file.flush()
                os.fsync(file.fileno())
        self.complete(name)

    def finish(self, result: dict[str, Any]) -> None:
        """Write ``restored.json`` and remove what was only needed on the way."""
        self.write(RESULT, json.dumps(result, indent=2, ensure_ascii=False).encode() + b"\n")
        shutil.rmtree(self.path / WORK)

    def _check_empty_or_ours(self) -> None:
        names = set(os.listdir(self.path)) - {"lost+found"}
        led_elsewhere = (self.path / WORK).is_symlink()
        if (names and WORK not in names) or RESULT in names or led_elsewhere:
            what = "a finished restore" if RESULT in names else "something else"
            raise AlreadyExists(
                f"{self.path} holds {what} already; nothing is overwritten.",
                reason="DIRECTORY_NOT_EMPTY",
                hint="Give a new or empty directory.",
            )

    def _take(self, claim: dict[str, str]) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FailedPrecondition(
                f"Another restore is writing to {self.path}.", reason="DIRECTORY_BUSY", hint="Wait for it."
            ) from None
        with translated("write", "claim"):
            found = os.pread(self._lock, len(self._claim) + 1, 0)
            if found and found != self._claim:
                raise AlreadyExists(
                    f"{self.path} holds an unfinished restore of something else than {_asked(claim)}.",
                    reason="DIRECTORY_NOT_EMPTY",
                    hint="Give a new or empty directory, or ask for what was begun there.",
                )
            os.pwrite(self._lock, self._claim, 0)
            os.fsync(self._lock)
            sync_directory(self.path)


def _asked(claim: dict[str, str]) -> str:
    return f"disks {claim['disks']} of {claim['point']}" if "disks" in claim else f"{claim['point']}, whole"


def _require(allowed: bool, name: str) -> None:
    if not allowed:
        raise InvalidInput(
            f"{name[:100]!r} is no name for a file.",
            reason="FILE_NAME_INVALID",
            hint="The restore point was not made by Xenkeep.",
        )
