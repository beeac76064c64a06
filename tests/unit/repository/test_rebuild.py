"""The index is made again from the packs: told how far it is, stopped, and while others prune."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from services.chassis.errors import Cancelled
from services.mover.repository import MemoryStore, Repository
from services.mover.repository.format.names import INDEX, PACKS
from services.mover.repository.types import Bytes
from tests.unit.repository.world import MIB, NOW, back_up, new_repository, noise, reopen, restored

A, B = noise(3 * MIB, 1), noise(3 * MIB, 2)


def _made(store: MemoryStore, cache: Path) -> Repository:
    repository = new_repository(store, cache, chunk_bytes=MIB // 4, pack_bytes=MIB)
    back_up(repository, "a", A)
    back_up(repository, "b", B)
    return repository


def _names(store: MemoryStore, prefix: str) -> set[str]:
    return {stored.name for stored in store.list(prefix)}


def test_it_tells_how_far_it_is_and_what_it_saw(tmp_path: Path) -> None:
    store = MemoryStore()
    with _made(store, tmp_path) as repository:
        told: list[tuple[int, int]] = []
        rebuilt = repository.rebuild_index(listener=lambda total, done: told.append((total, done)))
        size = sum(stored.size for stored in store.list(PACKS))
        assert (len(_names(store, PACKS)), size) == (rebuilt.packs, rebuilt.pack_bytes)
        assert ((size, 0), (size, size)) == (told[0], told[-1])
        assert sorted(told) == told


def test_cancelled_it_leaves_the_index_that_was_there(tmp_path: Path) -> None:
    store = MemoryStore()
    with _made(store, tmp_path / "here") as repository:
        before = _names(store, INDEX)
        cancel = threading.Event()
        cancel.set()
        with pytest.raises(Cancelled):
            repository.rebuild_index(cancel=cancel)
        assert before <= _names(store, INDEX)
    with reopen(store, tmp_path / "there") as other:
        assert (A, B) == (restored(other, "a"), restored(other, "b"))
        other.rebuild_index()
        assert (A, B) == (restored(other, "a"), restored(other, "b"))


class _Meanwhile(MemoryStore):
    """Does something once, when the first index segment is about to be stored."""

    def __init__(self) -> None:
        super().__init__()
        self.something: Callable[[], None] | None = None

    def put(self, name: str, parts: Sequence[Bytes]) -> None:
        if name.startswith(INDEX) and self.something is not None:
            something, self.something = self.something, None
            something()
        super().put(name, parts)


def test_what_a_prune_deletes_meanwhile_is_in_no_index_and_called_no_damage(tmp_path: Path) -> None:
    store = _Meanwhile()
    with _made(store, tmp_path / "here") as repository, reopen(store, tmp_path / "there") as other:
        repository.delete_point("a", keep=0, purge=True)

        def prune() -> None:
            assert other.prune(NOW).deleted_packs

        store.something = prune
        repository.rebuild_index()
        assert store.something is None
        assert len(_names(store, PACKS)) == repository.statistics().packs
        verified = repository.verify(full=True)
        assert ((), ("b",)) == (verified.findings, verified.sound_points)
    with reopen(store, tmp_path / "third") as third:
        assert len(_names(store, PACKS)) == third.statistics().packs
        assert B == restored(third, "b")


def test_a_verification_says_that_segments_may_be_lost_and_a_rebuild_finds_all(tmp_path: Path) -> None:
    store = MemoryStore()
    with _made(store, tmp_path / "here") as repository:
        assert () == repository.verify(full=False).notices
    for name in _names(store, INDEX):
        store.delete(name)
    with reopen(store, tmp_path / "there") as other:
        lost = other.verify(full=False)
        assert ["PACKS_NOT_LISTED"] == [code for code, _ in lost.notices]
        assert ("a", "b") == lost.damaged_points
        other.rebuild_index()
        found = other.verify(full=False)
        assert ((), ("a", "b"), ()) == (found.notices, found.sound_points, found.findings)
