"""A data key that is retired: killed at any step nothing is lost, and the next one finishes."""

from pathlib import Path

import pytest

from services.mover.repository import MemoryStore, PruneOptions
from tests.faults.repository.faulty_store import Crash, FaultyStore
from tests.support.injections import Injections
from tests.support.scenarios import THOROUGH
from tests.unit.repository.world import (
    BLOCK,
    KIB,
    MIB,
    back_up,
    new_repository,
    noise,
    overwritten,
    reopen,
    restored,
)

RETIRE = PruneOptions(grace_seconds=0, patience_seconds=0, workers=1, retire_through=1)
A = noise(2 * MIB, 1)
B = overwritten(A, {BLOCK: noise(BLOCK, 2)})


@pytest.mark.scenario(23, 43)
def test_a_retirement_killed_at_any_step_loses_nothing_and_the_next_one_finishes(
    tmp_path: Path, injections: Injections
) -> None:
    before = MemoryStore()
    with new_repository(before, tmp_path / "made", 256 * KIB, MIB) as repository:
        back_up(repository, "a", A)
        back_up(repository, "b", B, base="a", changed=[(BLOCK, BLOCK)])
        repository.keys.start_epoch()
    step, finished = 0, False
    while not finished:
        store = MemoryStore()
        store.objects = dict(before.objects)
        with reopen(FaultyStore(store, crash_at=step), tmp_path / f"doomed-{step}") as repository:
            try:
                repository.prune(RETIRE)
                finished = True
            except Crash:
                pass
        with reopen(store, tmp_path / f"next-{step}") as repository:
            assert (restored(repository, "a"), restored(repository, "b")) == (A, B)
            for _ in range(2):  # the first carries out what was planned, and keeps what is needed of it
                if "epochs/00000001" in store.objects:
                    repository.prune(RETIRE)
            assert [(2, True)] == [(use.epoch, use.packs > 0) for use in repository.keys.epochs()]
            assert (restored(repository, "a"), restored(repository, "b")) == (A, B)
            assert repository.verify(full=True).findings == ()
        injections.held()
        step += 1 if THOROUGH else 3
    assert step > 12
