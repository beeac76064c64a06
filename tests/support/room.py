"""Room on the disk: said before the first test, because servers that run out of it say something else."""

import shutil
from pathlib import Path

import pytest

NEEDED = 4 << 30
"""Bytes that all tests together have in their folders at one moment, and some to spare."""


def require_room(folder: Path, needed: int = NEEDED) -> None:
    """Raises ``pytest.UsageError`` if the file system of ``folder`` has less than ``needed`` bytes left."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise pytest.UsageError(
            f"The tests write their disks to {folder}, where {free >> 20} MiB are free. They need "
            f"{needed >> 20}: make room there, or name another folder in TMPDIR."
        )
