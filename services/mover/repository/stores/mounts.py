"""What is mounted where (proc_pid_mountinfo(5))."""

import os
from pathlib import Path
from typing import Final

_MOUNTS: Final = Path("/proc/self/mountinfo")
_DEVICE: Final = 2


def file_system_of(path: Path, mounts: Path = _MOUNTS) -> str | None:
    """Type of the file system that ``path`` is on, such as ext4; None when it is not found there."""
    try:
        device = path.stat().st_dev
        lines = mounts.read_text("utf-8", "replace").splitlines()
    except OSError:
        return None
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for line in lines:
        mount, _, source = line.partition(" - ")
        if source and mount.split()[_DEVICE] == wanted:
            return source.split()[0]
    return None
