"""How far a transfer is: written by worker threads, often; read by whoever publishes it, now and then."""

import threading

from services.mover.domain.transfer import Progress


class Board:
    """Adds up the disks of one transfer. Safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._activity = ""
        self._disks: dict[str, tuple[int, int, int, int]] = {}
        self._expected: dict[str, int] = {}

    def doing(self, activity: str) -> None:
        """What is done now, for a person."""
        with self._lock:
            self._activity = activity

    def expect(self, disk_id: str, total_bytes: int) -> None:
        """So many bytes are to be moved for a disk."""
        with self._lock:
            self._expected[disk_id] = total_bytes

    def moved(self, disk_id: str, *, total: int, read: int, resumed: int, stored: int) -> None:
        """``read`` and ``resumed`` count towards ``total``; ``stored`` is what was written for it."""
        with self._lock:
            self._disks[disk_id] = (total, read, resumed, stored)

    def progress(self) -> Progress:
        """The sum, now."""
        with self._lock:
            totals = self._expected | {disk: figures[0] for disk, figures in self._disks.items()}
            read = sum(figures[1] for figures in self._disks.values())
            resumed = sum(figures[2] for figures in self._disks.values())
            stored = sum(figures[3] for figures in self._disks.values())
            return Progress(sum(totals.values()), read + resumed, read, stored, self._activity)
