"""How a restore reads and writes: long ranges, several at a time, and nothing that is zero."""

import threading
from pathlib import Path

from services.mover.repository import BackupOptions, MemoryStore, RestoreOptions
from tests.unit.repository.world import KIB, MIB, MemoryTarget, back_up, new_repository, noise

CHUNK, PACK = 128 * KIB, 4 * MIB
IN_ORDER = BackupOptions(readers=1, workers=1)
BATCH = 8 * MIB
"""What a restore reads in one piece at most."""


class Watching(MemoryStore):
    """Remembers how much of packs is read at a time; with ``meet`` a read ends when two were under way."""

    def __init__(self) -> None:
        super().__init__()
        self.ranges: list[int] = []
        self.meet = False
        self._reading = 0
        self._met = threading.Event()
        self._lock = threading.Lock()

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        data = super().get(name, offset, length)
        if name.startswith("packs/data/"):
            self.ranges.append(len(data))
            if self.meet:
                self._wait_for_another()
        return data

    def _wait_for_another(self) -> None:
        with self._lock:
            self._reading += 1
            if self._reading > 1:
                self._met.set()
        assert self._met.wait(60)
        with self._lock:
            self._reading -= 1


def test_what_lies_together_is_read_together(tmp_path: Path) -> None:
    """32 chunks in a pack are one read, or two where a batch ends within it."""
    content = noise(3 * BATCH)
    store = Watching()
    with new_repository(store, tmp_path, CHUNK, PACK) as repository:
        back_up(repository, "p", content, options=IN_ORDER)
        store.ranges.clear()
        target = MemoryTarget(len(content))
        repository.restore_disk("p", "d", target)

    packs = sum(name.startswith("packs/data/") for name in store.objects)
    assert content == target.content
    assert len(store.ranges) <= packs + 2 * 3
    assert sum(store.ranges) < 1.01 * len(content), "nothing is read twice"


def test_ranges_are_read_at_the_same_time(tmp_path: Path) -> None:
    """Two readers meet, or neither goes on."""
    content = noise(2 * BATCH)
    store = Watching()
    with new_repository(store, tmp_path, CHUNK, 2 * BATCH) as repository:
        back_up(repository, "p", content, options=IN_ORDER)
        store.meet = True
        target = MemoryTarget(len(content))
        repository.restore_disk("p", "d", target, options=RestoreOptions(workers=2))
    assert content == target.content


def test_what_is_zero_is_neither_read_nor_written(tmp_path: Path) -> None:
    content = bytes(4 * CHUNK) + noise(CHUNK) + bytes(8 * MIB) + noise(CHUNK, 1) + bytes(3 * CHUNK)
    store = Watching()
    with new_repository(store, tmp_path, CHUNK, PACK) as repository:
        back_up(repository, "p", content, options=IN_ORDER)
        store.ranges.clear()
        target = MemoryTarget(len(content))
        written = repository.restore_disk("p", "d", target)

    assert content == target.content
    assert [(4 * CHUNK, CHUNK), (5 * CHUNK + 8 * MIB, CHUNK)] == sorted(target.writes)
    assert 2 * CHUNK == written
    assert sum(store.ranges) < 2.1 * CHUNK
