"""How far a transfer is: written by worker threads, often; read by whoever publishes it, now and then."""

import threading
from collections.abc import Callable, Sequence

from services.mover.domain.capture import Remark
from services.mover.domain.facts import Fact
from services.mover.domain.transfer import Progress


class Board:
    """Adds up the disks of one attempt, on top of what ``earlier`` ones moved. Safe from any thread.

    Within an attempt no figure goes back: a disk that is written again counts from where it was best.
    """

    def __init__(self, earlier: Progress | None = None) -> None:
        self._lock = threading.Lock()
        self._earlier = earlier or Progress()
        self._activity = ""
        self._disks: dict[str, tuple[int, int, int]] = {}
        self._stored = 0
        self._facts: list[Fact] = []
        self._own: Sequence[Remark] = ()
        self._remarks: Callable[[], Sequence[Remark]] = tuple

    def doing(self, activity: str) -> None:
        """What is done now, for a person."""
        with self._lock:
            self._activity = activity

    def expect(self, disk_id: str, total_bytes: int) -> None:
        """So many bytes are to be moved for a disk."""
        self.moved(disk_id, total=total_bytes)

    def forget(self, disk_id: str) -> None:
        """Nothing more comes of a disk."""
        with self._lock:
            self._disks.pop(disk_id, None)

    def moved(self, disk_id: str, *, total: int, read: int = 0, resumed: int = 0) -> None:
        """``read`` and ``resumed`` count towards ``total``."""
        with self._lock:
            best = self._disks.get(disk_id, (0, 0, 0))
            self._disks[disk_id] = (max(best[0], total), max(best[1], read), max(best[2], resumed))

    def stored(self, stored_bytes: int) -> None:
        """So much was written in this attempt, for all disks together."""
        with self._lock:
            self._stored = max(self._stored, stored_bytes)

    def learned(self, fact: Fact) -> None:
        """To be told with the transfer's end, however it ends."""
        with self._lock:
            self._facts.append(fact)

    def hear(self, remarks: Callable[[], Sequence[Remark]]) -> None:
        """Where to ask for what was remarked so far by others than the transfer itself."""
        self._remarks = remarks

    def remarks(self) -> Sequence[Remark]:
        """What its repository's store told since it began."""
        return self._remarks()

    def keep(self, remarks: Sequence[Remark]) -> None:
        """The list into which the transfer goes on writing its own remarks."""
        self._own = remarks

    def all_remarks(self) -> tuple[Remark, ...]:
        """The transfer's own and its store's, each once."""
        return tuple(dict.fromkeys((*self._own, *self._remarks())))

    @property
    def facts(self) -> tuple[Fact, ...]:
        with self._lock:
            return tuple(self._facts)

    def progress(self) -> Progress:
        """The sum, now."""
        with self._lock:
            total, read, resumed = (sum(disk[n] for disk in self._disks.values()) for n in range(3))
            return Progress(
                total_bytes=total,
                done_bytes=min(total, read + resumed),
                read_bytes=self._earlier.read_bytes + read,
                stored_bytes=self._earlier.stored_bytes + self._stored,
                activity=self._activity,
            )
