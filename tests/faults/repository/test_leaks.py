"""A mover runs for months: what an operation takes, it gives back."""

from pathlib import Path

import pytest

from services.chassis.errors import XenkeepError
from services.mover.repository import DirectoryStore
from tests.support.held import held, resident_kib
from tests.support.injections import Injections
from tests.support.scenarios import LEAKS, THOROUGH
from tests.unit.repository.world import (
    BLOCK,
    KIB,
    back_up,
    new_repository,
    noise,
    overwritten,
    reopen,
    restored,
)

CONTENT = noise(4 * BLOCK)
ROUNDS = 200 if THOROUGH else 15
"""Of five operations each: opening, a backup, a failed backup, a restore, a verification."""


@pytest.mark.scenario(LEAKS)
def test_descriptors_threads_and_memory_do_not_grow_with_operations(
    tmp_path: Path, injections: Injections
) -> None:
    store = DirectoryStore(tmp_path / "store", create=True)
    new_repository(store, tmp_path / "c", 2 * BLOCK, 4 * BLOCK).close()

    def operate(number: int) -> None:
        content = overwritten(CONTENT, {0: noise(BLOCK, number % 7)})
        with reopen(DirectoryStore(tmp_path / "store"), tmp_path / "c") as repository:
            back_up(repository, f"p{number}", content, transfer="t")
            with pytest.raises(XenkeepError):
                back_up(repository, f"p{number}", content)
            with pytest.raises(XenkeepError):
                back_up(repository, "q", content, base="none", changed=[])
            assert restored(repository, f"p{number}") == content
            assert repository.verify(full=True).findings == ()
            repository.delete_point(f"p{number}", keep=0, purge=True)

    for number in range(5):
        operate(number)
    before, resident = held(), resident_kib()
    for number in range(5, 5 + ROUNDS):
        with injections.one():
            operate(number)
            assert held() == before
    assert resident_kib() - resident < 48 * KIB
