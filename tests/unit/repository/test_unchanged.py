"""Tracking that lies is found out: a sample of what it calls unchanged is compared."""

from pathlib import Path

import pytest

from services.mover.repository import BackupOptions, Extent, MemoryStore, Repository
from services.mover.repository.request import DiskRequest
from services.mover.repository.unchanged import Comparison
from tests.unit.repository.world import (
    BLOCK,
    KIB,
    MIB,
    MemoryDisk,
    back_up,
    description,
    new_repository,
    noise,
    overwritten,
)

CHUNK = 256 * KIB
CONTENT = bytes(CHUNK) + noise(3 * MIB) + bytes(2 * CHUNK) + noise(CHUNK - 100, 1)
CHANGED = {5 * BLOCK: noise(BLOCK, 2)}


def options(chunks: int) -> BackupOptions:
    return BackupOptions(readers=1, workers=1, uploads=1, unchanged_chunks=chunks)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    repository = new_repository(MemoryStore(), tmp_path, CHUNK, MIB)
    back_up(repository, "base", CONTENT)
    return repository


def compared(
    repository: Repository, content: bytes, chunks: int, snapshot: str = "1", told: tuple[int, ...] = (5,)
) -> tuple[Comparison, MemoryDisk]:
    disk = MemoryDisk(content)
    extents = tuple(Extent(block * BLOCK, BLOCK) for block in told)
    request = DiskRequest("d", len(content), extents, base_disk="d", source_ref=snapshot)
    with repository.begin_backup("new", "base", options=options(chunks)) as session:
        return session.compare_unchanged(request, disk), disk


def test_what_did_not_change_is_the_same_and_what_did_is_not_looked_at(repository: Repository) -> None:
    with repository:
        content = overwritten(CONTENT, CHANGED)
        comparison, disk = compared(repository, content, 100)
        assert comparison.differs_at is None
        read = sorted(offset // CHUNK for offset, _ in disk.read)
        assert [2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 15] == read, "data, without the chunk that changed"
        assert comparison.compared_bytes == disk.bytes_read == 11 * CHUNK + CHUNK - 100


@pytest.mark.scenario(41)
@pytest.mark.parametrize("at", [3 * CHUNK, 12 * CHUNK + 17, len(CONTENT) - 1])
def test_a_change_that_nobody_told_is_found_in_its_turn(repository: Repository, at: int) -> None:
    lied = overwritten(CONTENT, CHANGED | {at: bytes([CONTENT[at] ^ 1])})
    with repository:
        found = [compared(repository, lied, 1, f"snapshot-{n}")[0].differs_at for n in range(100)]
    assert at // CHUNK * CHUNK in found
    assert {None, at // CHUNK * CHUNK} == set(found)


def test_a_backup_that_is_taken_up_again_compares_the_same(repository: Repository) -> None:
    with repository:
        reads = [compared(repository, CONTENT, 2, "one snapshot")[1].read for _ in range(3)]
        others = [compared(repository, CONTENT, 2, f"snapshot {n}")[1].read for n in range(20)]
    assert reads[0] == reads[1] == reads[2]
    assert len({tuple(each) for each in others}) > 10


@pytest.mark.parametrize("chunks", [0, 1])
def test_it_costs_so_many_chunks_and_is_told_on_the_point(repository: Repository, chunks: int) -> None:
    disk = MemoryDisk(CONTENT)
    request = DiskRequest("d", len(CONTENT), (), base_disk="d", source_ref="s")
    with repository, repository.begin_backup("new", "base", options=options(chunks)) as session:
        session.compare_unchanged(request, disk)
        session.disk(request, disk)
        point = session.commit(description())
    assert chunks == len(disk.read)
    assert (0, disk.bytes_read) == (
        point.statistics["read_bytes"],
        point.statistics.get("compared_bytes", 0),
    )


def test_where_everything_changed_or_is_empty_nothing_is_compared(repository: Repository) -> None:
    with repository:
        blocks = tuple(range(len(CONTENT) // BLOCK + 1))
        assert Comparison(0) == compared(repository, CONTENT, 4, told=blocks)[0]
