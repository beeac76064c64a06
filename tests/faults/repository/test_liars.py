"""Stores that lie, machines that flip bits, and two writers at once."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.chassis.errors import Aborted, AlreadyExists, Cancelled, DataLoss
from services.mover.repository import DiskRequest, MemoryStore
from services.mover.repository.format import zstd
from services.mover.repository.store import StoredObject
from services.mover.repository.types import Bytes
from tests.unit.repository.world import (
    MIB,
    OPTIONS,
    MemoryDisk,
    MemoryTarget,
    add_disk,
    back_up,
    description,
    new_repository,
    noise,
    reopen,
    restored,
)

CONTENT = noise(4 * MIB)


@pytest.mark.scenario(7)
def test_a_bit_that_flips_while_encoding_stops_the_backup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = zstd.compress

    def flipping(plain: Bytes, level: int = 1) -> tuple[int, Bytes]:
        code, packed = real(plain, level)
        broken = bytearray(packed)
        broken[len(broken) // 2] ^= 1
        return code, bytes(broken)

    with new_repository(MemoryStore(), tmp_path) as repository:
        with repository.begin_backup("p", options=OPTIONS) as session:
            monkeypatch.setattr(zstd, "compress", flipping)
            with pytest.raises(DataLoss, match="did not decode"):
                add_disk(session, CONTENT)
        assert repository.list_points() == []


@pytest.mark.scenario(13)
@pytest.mark.parametrize("lie", ["short", "empty", "wrong", "stale"])
def test_a_store_that_reads_wrongly_never_restores_wrong_bytes(tmp_path: Path, lie: str) -> None:
    class Liar(MemoryStore):
        lying = False

        def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
            data = super().get(name, offset, length)
            if not self.lying or not name.startswith("packs/data"):
                return data
            return {"short": data[:-1], "empty": b"", "wrong": bytes(len(data)), "stale": data[1:] + b"x"}[
                lie
            ]

    store = Liar()
    with new_repository(store, tmp_path) as repository:
        back_up(repository, "p", CONTENT)
        store.lying = True
        with pytest.raises(DataLoss):
            restored(repository, "p")
        store.lying = False
        assert restored(repository, "p") == CONTENT


@pytest.mark.scenario(14)
def test_a_listing_that_is_late_hides_no_blob_of_a_known_point(tmp_path: Path) -> None:
    class Late(MemoryStore):
        late = False

        def list(self, prefix: str) -> Iterator[StoredObject]:
            found = super().list(prefix)
            return iter(()) if self.late and prefix == "index/" else found

    store = Late()
    with new_repository(store, tmp_path / "a") as repository:
        back_up(repository, "p", CONTENT)
    store.late = True
    with reopen(store, tmp_path / "b") as repository:
        assert repository.read_disk("p", "d", 0, len(CONTENT)) == CONTENT


@pytest.mark.scenario(20)
def test_two_writers_of_the_same_content_both_commit(tmp_path: Path) -> None:
    store = MemoryStore()
    new_repository(store, tmp_path / "x").close()
    barrier = threading.Barrier(2)
    failures: list[BaseException] = []

    def write(name: str) -> None:
        try:
            with reopen(store, tmp_path / name) as repository:
                barrier.wait(30)
                back_up(repository, name, CONTENT)
        except BaseException as error:  # noqa: BLE001 - told to the test
            failures.append(error)

    threads = [threading.Thread(target=write, args=(name,)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with reopen(store, tmp_path / "c") as repository:
        assert restored(repository, "a") == restored(repository, "b") == CONTENT
        assert repository.verify(full=True).findings == ()


@pytest.mark.scenario(20)
def test_two_writers_of_one_point_make_one(tmp_path: Path) -> None:
    store = MemoryStore()
    with new_repository(store, tmp_path / "a") as one, reopen(store, tmp_path / "b") as other:
        with (
            one.begin_backup("p", options=OPTIONS) as first,
            other.begin_backup("p", options=OPTIONS) as second,
        ):
            add_disk(first, CONTENT)
            add_disk(second, noise(MIB, 7))
            first.commit(description())
            with pytest.raises(AlreadyExists):
                second.commit(description())
        assert restored(other, "p") == CONTENT


@pytest.mark.scenario("borg #9748")
def test_packs_that_vanish_during_a_backup_stop_its_commit(tmp_path: Path) -> None:
    store = MemoryStore()
    with new_repository(store, tmp_path) as repository:
        back_up(repository, "p1", CONTENT)
        with repository.begin_backup("p2", options=OPTIONS) as session:
            add_disk(session, CONTENT)
            for name in [name for name in store.objects if name.startswith("packs/data")]:
                del store.objects[name]
            with pytest.raises(Aborted, match="vanished"):
                session.commit(description())
        back_up(repository, "p2", CONTENT)
        assert restored(repository, "p2") == CONTENT
        assert restored(repository, "p1") == CONTENT


def test_a_restore_stops_when_cancelled_or_when_the_target_fails(tmp_path: Path) -> None:
    with new_repository(MemoryStore(), tmp_path) as repository:
        back_up(repository, "p", CONTENT)
        cancel = threading.Event()
        with pytest.raises(Cancelled):
            repository.restore_disk(
                "p", "d", MemoryTarget(len(CONTENT)), listener=lambda progress: cancel.set(), cancel=cancel
            )

        class Full(MemoryTarget):
            def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
                raise OSError("target is full")

        with pytest.raises(OSError, match="target is full"):
            repository.restore_disk("p", "d", Full(len(CONTENT)))


def test_progress_tells_what_was_read_and_stored(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    repository = new_repository(MemoryStore(), tmp_path)
    with repository, repository.begin_backup("p", options=OPTIONS) as session:
        session.disk(
            DiskRequest("d", len(CONTENT)),
            MemoryDisk(CONTENT),
            lambda progress: told.append((progress.total, progress.read)),
        )
        session.commit(description())
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert len(told) == 4
