"""Small packs become large ones while others write, prune, restore, die: nothing is lost on the way."""

import contextlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from services.mover.repository import DirectoryStore, MemoryStore, Repository, Store
from services.mover.repository.format.names import PLANS
from tests.faults.repository.dying import die_at_system_call
from tests.faults.repository.faulty_store import Crash, FaultyStore
from tests.faults.repository.prunes import NOW
from tests.support.forking import fork
from tests.support.injections import Injections
from tests.support.scenarios import THOROUGH
from tests.unit.repository.world import (
    BLOCK,
    KIB,
    MIB,
    MemoryTarget,
    back_up,
    new_repository,
    noise,
    overwritten,
    packs,
    reopen,
    restored,
)

POINTS = 10
WHOLE = noise(2 * MIB, 1)


def content(number: int) -> bytes:
    """Of the ``number``-th point: a block more is another one."""
    return overwritten(WHOLE, {n * 3 * BLOCK: noise(BLOCK, 100 + n) for n in range(1, number + 1)})


def fill(store: Store, cache: Path) -> None:
    """A full, and incrementals of one block, each with a data pack and a map of its own."""
    with new_repository(store, cache, 256 * KIB, MIB) as repository:
        back_up(repository, "p0", WHOLE)
        for n in range(1, POINTS + 1):
            changed = [(n * 3 * BLOCK, BLOCK)]
            back_up(repository, f"p{n}", content(n), base=f"p{n - 1}", changed=changed)


def require_sound(repository: Repository) -> None:
    assert [restored(repository, f"p{n}") for n in range(POINTS + 1)] == [
        content(n) for n in range(POINTS + 1)
    ]


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> MemoryStore:
    store = MemoryStore()
    fill(store, tmp_path_factory.mktemp("cache"))
    return store


def copy_of(store: MemoryStore) -> MemoryStore:
    copy = MemoryStore()
    copy.objects = dict(store.objects)
    return copy


def at_step(store: Store, step: int, action: Callable[[], None]) -> FaultyStore:
    """``action`` happens once, just before the ``step``-th change of the store."""
    made = [0]

    def fault(verb: str, _name: str) -> None:
        if verb in ("put", "delete"):
            made[0] += 1
            if made[0] == step + 1:
                action()

    return FaultyStore(store, fault=fault)


def changes(store: FaultyStore) -> int:
    return sum(not step.startswith("done") for step in store.steps)


@pytest.mark.scenario(23)
def test_a_merge_killed_at_every_step_loses_nothing_and_the_next_one_finishes(
    many: MemoryStore, tmp_path: Path, injections: Injections
) -> None:
    step, finished = 0, False
    while not finished:
        store = copy_of(many)
        with reopen(FaultyStore(store, crash_at=step), tmp_path / f"doomed-{step}") as repository:
            try:
                assert repository.prune(NOW).repacked_packs >= 8
                finished = True
            except Crash:
                pass
        here = tmp_path / (f"doomed-{step}" if step % 2 else f"other-{step}")
        with reopen(store, here) as repository:
            require_sound(repository)
            back_up(repository, "more", content(POINTS))
            repository.prune(NOW)
            repository.prune(NOW)
            require_sound(repository)
            assert repository.verify(full=True).findings == ()
            assert repository.statistics().packs == len(packs(store)) < len(packs(many))
        assert not any(name.startswith(PLANS) for name in store.objects)
        injections.held()
        step += 1
    assert step > 12


@pytest.mark.scenario(1, 23)
def test_a_process_killed_at_any_system_call_of_a_merge_loses_nothing(
    tmp_path: Path, injections: Injections
) -> None:
    fill(DirectoryStore(tmp_path / "0", create=True), tmp_path / "c")
    step, survived = 0, False
    while not survived:
        folder = tmp_path / f"store-{step}"
        shutil.copytree(tmp_path / "0", folder)
        pid = fork()
        if pid == 0:
            die_at_system_call(step)
            with reopen(DirectoryStore(folder), tmp_path / f"cache-{step}") as repository:
                repository.prune(NOW)
            os._exit(0)
        survived = os.WIFEXITED(os.waitpid(pid, 0)[1])
        with reopen(DirectoryStore(folder), tmp_path / f"cache-{step}") as repository:
            require_sound(repository)
            repository.prune(NOW)
            require_sound(repository)
            assert repository.verify(full=True).findings == ()
        shutil.rmtree(folder)
        injections.held()
        step += 1 if THOROUGH else 11
    assert step > 20


@pytest.mark.scenario(21)
def test_a_backup_at_every_step_of_a_merge_is_whole(
    many: MemoryStore, tmp_path: Path, injections: Injections
) -> None:
    """It begins and ends within the prune, and finds its content in packs that are being merged."""
    step, more = 0, True
    while more:
        store = copy_of(many)
        with reopen(store, tmp_path / f"writer-{step}") as writer:

            def back_it_up(writer: Repository = writer) -> None:
                back_up(writer, "new", content(POINTS))

            faulty = at_step(store, step, back_it_up)
            with reopen(faulty, tmp_path / f"pruner-{step}") as pruner:
                pruner.prune(NOW)
                more = changes(faulty) > step
            require_sound(writer)
            if more:
                assert restored(writer, "new") == content(POINTS)
            assert writer.verify(full=True).findings == ()
            writer.prune(NOW)
            require_sound(writer)
        injections.held()
        step += 1
    assert step > 10


@pytest.mark.scenario(25)
def test_two_merges_at_every_step_of_each_other_keep_one_copy_of_everything(
    many: MemoryStore, tmp_path: Path, injections: Injections
) -> None:
    step, more = 0, True
    while more:
        store = copy_of(many)
        with reopen(store, tmp_path / f"b-{step}") as other:

            def prune(other: Repository = other) -> None:
                other.prune(NOW)

            faulty = at_step(store, step, prune)
            with reopen(faulty, tmp_path / f"a-{step}") as repository:
                repository.prune(NOW)
                more = changes(faulty) > step
            require_sound(other)
            assert other.verify(full=True).findings == ()
            other.prune(NOW)
            require_sound(other)
        injections.held()
        step += 1
    assert step > 10


@pytest.mark.scenario(26)
def test_a_restore_goes_on_when_the_packs_it_reads_are_merged_away(
    many: MemoryStore, tmp_path: Path, injections: Injections
) -> None:
    store = copy_of(many)
    with reopen(store, tmp_path / "reader") as reader, reopen(store, tmp_path / "pruner") as pruner:

        class Pruning(MemoryTarget):
            def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
                first = not self.writes
                super().write(offset, data)
                if first:
                    pruner.prune(NOW)

        target = Pruning(len(WHOLE))
        with injections.one(), contextlib.closing(reader):
            reader.restore_disk(f"p{POINTS}", "d", target)
            assert bytes(target.content) == content(POINTS)
    assert len(packs(store)) < len(packs(many))
