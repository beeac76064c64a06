"""Files that are being written, under names of their own and locked: whoever sweeps leaves them alone."""

import contextlib
import errno
import fcntl
import os
from pathlib import Path
from typing import Final

from services.mover.repository.types import Entropy

TEMPORARY: Final = ".tmp-"
_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP})


def opened_temporary(folder: Path, entropy: Entropy) -> tuple[Path, int]:
    """A new one, locked; between making and locking it a sweep may have taken it for abandoned."""
    while True:
        temporary = folder / (TEMPORARY + entropy(8).hex())
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with contextlib.suppress(OSError):  # some network file systems have no locks
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if temporary.exists():
            return temporary, descriptor
        os.close(descriptor)


def remove_if_abandoned(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW)  # NFS locks nothing that is only read
    except FileNotFoundError:
        return False
    try:
        return not _is_written(descriptor) and _unlinked(path)
    finally:
        os.close(descriptor)


def _is_written(descriptor: int) -> bool:
    """False also where there are no locks: whoever still writes finds its file gone, and starts over."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    return False


def _unlinked(path: Path) -> bool:
    path.unlink(missing_ok=True)
    return True
