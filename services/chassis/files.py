"""Small files that are whole or absent, whatever is killed when."""

import os
import tempfile
from pathlib import Path


def write_new(path: Path, content: bytes) -> bool:
    """Create ``path`` (mode 0600) with ``content``; False, and nothing changed, when it already exists.

    Of several processes that try at once exactly one gets True.
    """
    temporary = _write_temporary(path, content)
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    finally:
        temporary.unlink()
    sync_directory(path.parent)
    return True


def replace(path: Path, content: bytes) -> None:
    """Put ``content`` at ``path`` (mode 0600), in one step, over whatever was there."""
    temporary = _write_temporary(path, content)
    try:
        temporary.rename(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Make durable what was created, renamed and removed in it; OSError when that cannot be."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_temporary(path: Path, content: bytes) -> Path:
    # A leading dot and a random tail: what a kill leaves behind is never read and never in the way.
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return Path(name)
