"""Files that are there whole, or not at all."""

import fcntl
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import mkstemp
from typing import IO

from xenkeep.errors import Error

_PARTIAL = ".partial"
_RANDOM = "[a-z0-9_]{8}"
"""What tempfile puts before the suffix (CPython, Lib/tempfile.py, _RandomNameSequence)."""


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """What is written becomes ``path`` when the block ends well, readable by its owner alone.

    It is durable against power loss then; an older file stays until it is. Killed meanwhile, one that ends in
    ``.partial`` is left, which the next to write ``path`` removes. Raises Error for what the file system
    refuses.
    """
    try:
        with suppress(PermissionError):  # one may write where one may not look
            remove_abandoned(path.parent, path.name)
        descriptor, partial = _made(path)
        with os.fdopen(descriptor, "wb") as file:
            try:
                yield file
                file.flush()
                os.fsync(descriptor)
                os.replace(partial, path)
            except BaseException:
                with suppress(OSError):
                    os.unlink(partial)
                raise
        _sync_directory(path.parent)
    except OSError as error:
        raise Error(
            "InvalidInput",
            "FILE_NOT_WRITTEN",
            f"{path} cannot be written: {error.strerror}.",
            "Name a place that can be written and has room.",
        ) from None


def remove_abandoned(directory: Path, name: str = "") -> None:
    """Remove what commands that were killed left in ``directory`` of a file ``name``, or of any.

    Whoever still writes holds a lock on its file. What is somebody else's, or not as we make it, stays, and
    so does everything where locks do not work. Raises OSError.
    """
    ours = re.compile(rf"\.{re.escape(name) or '.+'}\.{_RANDOM}{re.escape(_PARTIAL)}")
    for found in directory.iterdir():
        if ours.fullmatch(found.name):
            with suppress(OSError):  # a link, a lock, or gone by now
                _remove_if_abandoned(found)


def _remove_if_abandoned(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        seen = os.fstat(descriptor)
        if stat.S_ISREG(seen.st_mode) and stat.S_IMODE(seen.st_mode) == 0o600 and seen.st_uid == os.geteuid():
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
    finally:
        os.close(descriptor)


def _made(path: Path) -> tuple[int, str]:
    """A locked new file beside ``path``, and its name: between making and locking it may be taken for
    abandoned.
    """
    while True:
        descriptor, name = mkstemp(_PARTIAL, f".{path.name}.", path.parent)
        with suppress(OSError):  # some network file systems have no locks: then nobody removes it
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.path.lexists(name):
            return descriptor, name
        os.close(descriptor)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
