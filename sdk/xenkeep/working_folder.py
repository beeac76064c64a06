"""A folder for as long as something takes; what is left of those who were killed goes with the next one."""

import fcntl
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

_MODE: Final = 0o700
_RANDOM: Final = "[a-z0-9_]{8}"
"""What tempfile puts after the prefix (CPython, Lib/tempfile.py, _RandomNameSequence)."""


class WorkingFolder:
    """A new folder in the directory for temporary files. A context manager, which removes it.

    Its owner holds a lock on it, which the kernel takes from whoever dies: so others of the same prefix that
    nobody holds are of processes that were killed, and are removed first. What is another user's, is no
    folder, or is not as we make it, stays, and so does everything where locks do not work. Links are not
    followed.
    """

    def __init__(self, prefix: str, removed: Callable[[Path], None]) -> None:
        """``removed`` hears of each that was left and is gone. Raises OSError when there can be no folder."""
        place = Path(tempfile.gettempdir())
        with suppress(PermissionError):  # one may write where one may not look
            for name in sorted(os.listdir(place)):
                if re.fullmatch(re.escape(prefix) + _RANDOM, name) and _remove_if_abandoned(place, name):
                    removed(place / name)
        self.path, self._lock = _made(prefix, place)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        """What cannot be removed is left to the next one."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def _made(prefix: str, place: Path) -> tuple[Path, int]:
    """Between making and locking it another process may have taken it for abandoned."""
    while True:
        path = Path(tempfile.mkdtemp(prefix=prefix, dir=place))
        try:
            lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except FileNotFoundError:
            continue
        with suppress(OSError):  # without locks nobody removes it
            fcntl.flock(lock, fcntl.LOCK_EX)
        if _is_at(lock, path):
            return path, lock
        os.close(lock)


def _remove_if_abandoned(place: Path, name: str) -> bool:
    try:
        folder = os.open(place / name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:  # a link, a file, somebody else's, or gone by now
        return False
    try:
        seen = os.fstat(folder)
        if stat.S_IMODE(seen.st_mode) != _MODE or seen.st_uid != os.geteuid():
            return False
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not _is_at(folder, place / name):
            return False
        shutil.rmtree(place / name)
    except OSError:  # it is in use, there are no locks here, or it does not let itself be removed
        return False
    finally:
        os.close(folder)
    return True


def _is_at(folder: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(folder), os.lstat(path))
    except FileNotFoundError:
        return False
