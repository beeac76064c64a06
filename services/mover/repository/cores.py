"""How many threads are worth having."""

import os
from pathlib import Path
from typing import Final

_QUOTA: Final = Path("/sys/fs/cgroup/cpu.max")
_MOST: Final = 16


def usable_cores(quota: Path = _QUOTA) -> int:
    """Cores this process may use: of its affinity, and of the container's quota (cgroup v2, ``cpu.max``)."""
    cores = len(os.sched_getaffinity(0))
    try:
        allowed, period = quota.read_text().split()
    except OSError:  # another system, or cgroup v1
        return cores
    if allowed == "max":
        return cores
    return max(1, min(cores, round(int(allowed) / int(period))))


def threads(waiting: int = 0, most: int = _MOST) -> int:
    """A thread for each core, ``waiting`` more for stores that are waited for, ``most`` at most.

    Of the 2.5 processor seconds a GiB takes, Python's own lock is held for 0.3 (docs/benchmarks.md): more
    than some ten threads only wait for one another, and each has memory of its own.
    """
    return min(usable_cores() + waiting, most)
