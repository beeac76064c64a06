"""A store that stalls: readers stop soon, and what waits for it is bounded in bytes."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from services.mover.repository import BackupOptions, DiskRequest, MemoryStore
from services.mover.repository.flow import Flow
from services.mover.repository.packer import Packer
from tests.unit.repository.world import KIB, MIB, MemoryDisk, description, new_repository, noise, restored

PACK = 512 * KIB
OPTIONS = BackupOptions(readers=2, workers=4, uploads=2)
MOST_PACKS = 2 * OPTIONS.uploads + 2


def test_what_waits_for_a_store_that_stalls_is_a_few_packs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is stored before every worker waits for room, or everything has been read."""
    content = noise(12 * MIB)
    go_on = threading.Event()
    unstored: list[int] = []
    read_by_then: list[int] = []
    waiting: set[str] = set()
    wait, begin = Flow.wait, Packer._new

    class Stalling(MemoryStore):
        def put(self, name: str, parts: Any) -> None:
            if name.startswith("packs/"):
                assert go_on.wait(60)
            super().put(name, parts)

    class Disk(MemoryDisk):
        def read_into(self, offset: int, buffer: memoryview) -> None:
            super().read_into(offset, buffer)
            if self.bytes_read >= len(content):
                go_on.set()

    def noted(flow: Flow, condition: threading.Condition, until: Callable[[], bool]) -> None:
        name = threading.current_thread().name
        if name.startswith("work-") and not until():
            waiting.add(name)
            if len(waiting) == OPTIONS.workers:
                read_by_then.append(disk.bytes_read)
                go_on.set()
        wait(flow, condition, until)
        waiting.discard(name)

    def counted(packer: Packer) -> Any:
        pack = begin(packer)
        unstored.append(packer._unfinished)
        return pack

    monkeypatch.setattr(Flow, "wait", noted)
    monkeypatch.setattr(Packer, "_new", counted)
    disk = Disk(content)
    with new_repository(Stalling(), tmp_path, 128 * KIB, PACK) as repository:
        with repository.begin_backup("p", options=OPTIONS) as session:
            session.disk(DiskRequest("d", len(content)), disk)
            session.commit(description())
        assert content == restored(repository, "p")

    assert read_by_then, "everything was read before the workers waited for the store"
    assert read_by_then[0] < len(content) // 2
    assert max(unstored) <= MOST_PACKS
