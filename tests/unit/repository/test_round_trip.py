"""Backups restore byte for byte."""

from pathlib import Path

import pytest

from services.chassis.errors import AlreadyExists
from services.mover.repository import DirectoryStore, DiskRequest, Extent, MemoryStore
from tests.unit.repository.world import (
    BLOCK,
    MIB,
    OPTIONS,
    MemoryDisk,
    back_up,
    description,
    new_repository,
    noise,
    overwritten,
    reopen,
    restored,
)


def test_a_full_backup_to_a_directory_restores_on_a_clean_machine(tmp_path: Path) -> None:
    content = noise(3 * MIB) + bytes(4 * MIB) + noise(2 * MIB + 512, seed=1)
    with new_repository(DirectoryStore(tmp_path / "repo", create=True), tmp_path / "cache") as repository:
        point = back_up(repository, "p1", content)
        assert point.level == "full"
    with reopen(DirectoryStore(tmp_path / "repo"), tmp_path / "other-cache") as repository:
        assert repository.list_points() == ["p1"]
        assert repository.get_point("p1") == point
        assert restored(repository, "p1") == content


def test_an_incremental_reads_and_stores_only_changed_blocks(tmp_path: Path) -> None:
    base = noise(64 * MIB)
    changes = {n * MIB + (n % 16) * BLOCK: noise(BLOCK, seed=n) for n in range(0, 64, 4)}
    content = overwritten(base, changes)
    with new_repository(MemoryStore(), tmp_path) as repository:
        back_up(repository, "p1", base)
        disk = MemoryDisk(content)
        point = back_up(
            repository, "p2", content, base="p1", changed=[(at, BLOCK) for at in changes], disk=disk
        )
        assert disk.bytes_read == len(changes) * BLOCK
        assert point.statistics["stored_bytes"] <= 1.2 * len(changes) * BLOCK
        assert point.level == "incremental"
        assert restored(repository, "p2") == content
        assert restored(repository, "p1") == base


def test_an_empty_disk_costs_no_pack(tmp_path: Path) -> None:
    with new_repository(MemoryStore(), tmp_path) as repository:
        point = back_up(repository, "p1", bytes(16 * MIB))
        assert point.disks[0].root is None
        assert point.statistics["stored_bytes"] == 0
        assert repository.data_extents("p1", "d") == []
        assert restored(repository, "p1") == bytes(16 * MIB)


def test_the_same_content_is_stored_once(tmp_path: Path) -> None:
    content = noise(8 * MIB)
    with new_repository(MemoryStore(), tmp_path) as repository:
        back_up(repository, "p1", content)
        point = back_up(repository, "p2", content)
        assert point.statistics["new_bytes"] == 0
        assert point.disks[0].root == repository.get_point("p1").disks[0].root


def test_many_incrementals_fold_their_patches(tmp_path: Path) -> None:
    content = noise(4 * MIB)
    with new_repository(MemoryStore(), tmp_path) as repository:
        back_up(repository, "p0", content)
        contents = {"p0": content}
        for n in range(1, 12):
            changes = {MIB + n * BLOCK: noise(BLOCK, seed=n), 2 * MIB: noise(BLOCK, seed=-n)}
            content = overwritten(content, changes)
            base = f"p{n - 1}"
            back_up(repository, f"p{n}", content, base=base, changed=[(at, BLOCK) for at in changes])
            contents[f"p{n}"] = content
        for point, expected in contents.items():
            assert restored(repository, point) == expected


def test_a_grown_disk_is_incremented_even_when_its_map_grows_a_level(tmp_path: Path) -> None:
    chunk = BLOCK
    base = noise(3 * chunk) + bytes(1000 * chunk)
    grown = base + bytes(500 * chunk) + noise(chunk + 512, seed=2)
    with new_repository(MemoryStore(), tmp_path, chunk_bytes=chunk) as repository:
        back_up(repository, "p1", base)
        back_up(repository, "p2", grown, base="p1", changed=[(len(base), len(grown) - len(base))])
        assert restored(repository, "p2") == grown


def test_streams_and_documents_travel_with_the_point(tmp_path: Path) -> None:
    long = noise(5 * MIB + 17)
    with new_repository(MemoryStore(), tmp_path) as repository:
        with repository.begin_backup("p1", options=OPTIONS) as session:
            session.disk(DiskRequest("d", MIB), MemoryDisk(noise(MIB)))
            session.stream("vm-configuration", [b"<xml/>"])
            session.stream("memory", (long[at : at + 100_000] for at in range(0, len(long), 100_000)))
            session.stream("empty", [])
            session.note("CRASH_CONSISTENT", "No guest agent.")
            session.commit(description())
        assert b"".join(repository.read_stream("p1", "vm-configuration")) == b"<xml/>"
        assert b"".join(repository.read_stream("p1", "memory")) == long
        assert b"".join(repository.read_stream("p1", "empty")) == b""
        assert repository.get_point("p1").notices[0].code == "CRASH_CONSISTENT"
        assert repository.get_point("p1").document == {"policy": "nightly"}


@pytest.mark.scenario(48)
def test_a_huge_sparse_disk_costs_what_it_holds(tmp_path: Path) -> None:
    size = 64 << 40
    places = [0, size // 3 // BLOCK * BLOCK, size - 3 * BLOCK]

    class Sparse:
        def read_into(self, offset: int, buffer: memoryview) -> None:
            buffer[:] = noise(len(buffer), seed=offset)

    with new_repository(MemoryStore(), tmp_path) as repository:
        for point, base in (("p1", None), ("p2", "p1")):
            extents = tuple(Extent(at, BLOCK) for at in places)
            with repository.begin_backup(point, base, options=OPTIONS) as session:
                session.disk(DiskRequest("d", size, extents, base_disk="d" if base else None), Sparse())
                session.commit(description())
        found = repository.data_extents("p2", "d")
        assert [extent.offset // MIB for extent in found] == [at // MIB for at in places]
        assert repository.read_disk("p2", "d", places[1], BLOCK) == noise(BLOCK, seed=places[1])
        assert repository.get_point("p2").statistics["read_bytes"] == 3 * BLOCK
        assert repository.get_point("p2").statistics["stored_bytes"] < 4 * BLOCK


@pytest.mark.parametrize(
    ("offset", "length"), [(0, 1), (MIB - 1, 2), (5, 3 * MIB), (0, 6 * MIB + 512), (0, 0)]
)
def test_any_range_of_a_disk_can_be_read(tmp_path: Path, offset: int, length: int) -> None:
    content = noise(MIB) + bytes(2 * MIB) + noise(3 * MIB + 512)
    with new_repository(MemoryStore(), tmp_path) as repository:
        back_up(repository, "p1", content)
        assert repository.read_disk("p1", "d", offset, length) == content[offset : offset + length]


def test_a_committed_point_is_never_replaced(tmp_path: Path) -> None:
    with new_repository(MemoryStore(), tmp_path) as repository:
        back_up(repository, "p1", noise(MIB))
        with pytest.raises(AlreadyExists, match="p1"):
            back_up(repository, "p1", noise(MIB, seed=1))
