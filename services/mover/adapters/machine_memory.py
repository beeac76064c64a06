"""How much memory there is for this process, on machines and in containers of any size."""

from collections.abc import Callable
from mmap import PAGESIZE
from pathlib import Path
from typing import Final

from services.mover.domain.room import Room

_LIMIT: Final = Path("/sys/fs/cgroup/memory.max")
_MACHINE: Final = Path("/proc/meminfo")
_OWN: Final = Path("/proc/self/statm")


def usable_memory(limit: Path = _LIMIT, machine: Path = _MACHINE, own: Path = _OWN) -> int | None:
    """Bytes this process can have, those it has included; None where nothing tells.

    At most the container's limit (cgroup v2, ``memory.max``), and what is available on the machine
    (``MemAvailable``, proc_meminfo(5)) with what is resident here.
    """
    known = [bytes_ for bytes_ in (_limit(limit), _available(machine, own)) if bytes_ is not None]
    return min(known, default=None)


def _limit(limit: Path) -> int | None:
    try:
        return int(limit.read_text())
    except (OSError, ValueError):  # another system, cgroup v1, "max"
        return None


def _available(machine: Path, own: Path) -> int | None:
    try:
        fields = dict(line.split(":", 1) for line in machine.read_text().splitlines() if ":" in line)
        resident = int(own.read_text().split()[1]) * PAGESIZE
        return int(fields["MemAvailable"].split()[0]) * 1024 + resident
    except (OSError, ValueError, LookupError):  # another system
        return None


class MeasuredRoom:
    """Measures each time it is asked; ``changed`` hears when there is room for more or fewer transfers."""

    def __init__(
        self,
        configured: int,
        transfer_bytes: int,
        changed: Callable[[Room], None],
        memory: Callable[[], int | None] = usable_memory,
    ) -> None:
        self.configured: Final = configured
        self._transfer_bytes = transfer_bytes
        self._changed, self._memory = changed, memory
        self._last: Room | None = None

    def now(self) -> Room:
        room = Room(self.configured, self._transfer_bytes, self._memory())
        last = self.configured if self._last is None else self._last.transfers
        if room.transfers != last:
            self._changed(room)
        if self._last is None or room.transfers != last:
            self._last = room
        return room

    def told(self) -> str:
        """What a transfer waits for: by the measure that made room for so many, for a sentence that changes
        with every MiB would be news to everybody who watches.
        """
        return (self._last or self.now()).told()
