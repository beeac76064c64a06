"""No room and no descriptors, as the system itself says it, at every size and number there is."""

import resource
from functools import partial
from pathlib import Path

import pytest

from services.mover.repository import DirectoryStore, MemoryStore
from tests.faults.repository.limited import DONE, next_descriptor, reason_within
from tests.support.injections import Injections
from tests.support.scenarios import THOROUGH
from tests.unit.repository.world import (
    MIB,
    back_up,
    new_repository,
    noise,
    reopen,
    restored,
)

CONTENT = noise(MIB)
CACHE = ("INDEX_CACHE_FULL", "INDEX_CACHE_BROKEN")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    with new_repository(DirectoryStore(tmp_path / "store", create=True), tmp_path / "c") as repository:
        back_up(repository, "p", CONTENT)
    return tmp_path / "store"


def _back_up(place: Path, cache: Path, content: bytes) -> None:
    with reopen(DirectoryStore(place), cache) as repository:
        back_up(repository, "q", content, base="p", changed=[(0, MIB)], transfer="t")


def _judge(place: Path, cache: Path, content: bytes, reason: str) -> None:
    with reopen(DirectoryStore(place), cache) as repository:
        assert restored(repository, "p") == CONTENT
        assert ("q" in repository.list_points()) == (reason == DONE)
        if reason != DONE:
            back_up(repository, "q", content, base="p", changed=[(0, MIB)], transfer="t")
        assert restored(repository, "q") == content
        repository.delete_point("q", keep=0, purge=True)
        assert not list(place.rglob(".tmp-*"))


@pytest.mark.scenario(5, 6)
def test_files_that_may_not_grow_fail_the_backup_and_nothing_else(
    place: Path, tmp_path: Path, injections: Injections
) -> None:
    sizes = (0, 100, 500, 2000, 20_000, 70_000, MIB // 2, MIB, 8 * MIB)
    reasons = set()
    for size in sizes if THOROUGH else sizes[::2]:
        with injections.one():
            work = partial(_back_up, place, tmp_path / "a", noise(MIB, size + 1))
            reason = reason_within(resource.RLIMIT_FSIZE, size, work)
            assert reason in (DONE, "STORE_FULL", *CACHE)
            _judge(place, tmp_path / f"c{size}", noise(MIB, size + 1), reason)
            reasons.add(reason)
    assert {"STORE_FULL", DONE} <= reasons


@pytest.mark.scenario(6)
def test_too_few_descriptors_fail_the_backup_and_nothing_else(
    place: Path, tmp_path: Path, injections: Injections
) -> None:
    first = next_descriptor() + 2  # the child has a pipe as well
    reasons = set()
    for more in range(0, 16, 1 if THOROUGH else 4):
        with injections.one():
            work = partial(_back_up, place, tmp_path / "a", noise(MIB, more + 1))
            reason = reason_within(resource.RLIMIT_NOFILE, first + more, work)
            assert reason in (DONE, "TOO_MANY_OPEN_FILES", *CACHE)
            _judge(place, tmp_path / f"c{more}", noise(MIB, more + 1), reason)
            reasons.add(reason)
    assert "TOO_MANY_OPEN_FILES" in reasons


@pytest.mark.scenario(5, 19)
def test_a_full_disk_under_the_cache_stops_it_with_the_way_out(
    tmp_path: Path, injections: Injections
) -> None:
    store = MemoryStore()
    with new_repository(store, tmp_path / "a", pack_bytes=MIB) as repository:
        back_up(repository, "p", CONTENT)
    for size in (0, 4096, 20_000, 40_000):
        cache = tmp_path / f"{size}"
        with injections.one():
            reason = reason_within(resource.RLIMIT_FSIZE, size, lambda: reopen(store, cache).close())  # noqa: B023
            assert reason in (DONE, *CACHE)
        with reopen(store, cache) as repository:
            assert restored(repository, "p") == CONTENT
