"""Keys are changed: killed at any step, or by several at one moment, the repository opens as it should."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from services.chassis.errors import AlreadyExists, FailedPrecondition, Unauthenticated
from services.mover.repository import MemoryStore, Repository
from services.mover.repository.format.names import EPOCHS, KEYS
from tests.faults.repository.faulty_store import Crash, FaultyStore
from tests.support.injections import Injections
from tests.unit.repository.world import (
    KIB,
    MIB,
    PASSPHRASE,
    QUICK,
    back_up,
    new_repository,
    noise,
    reopen,
    restored,
)

CONTENT = noise(MIB)
SECOND, THIRD = "another passphrase", "yet another passphrase"


@pytest.fixture
def before(tmp_path: Path) -> MemoryStore:
    """With a point and three keys."""
    store = MemoryStore()
    with new_repository(store, tmp_path / "made", 256 * KIB, MIB) as repository:
        back_up(repository, "a", CONTENT)
        repository.keys.add_passphrase("second", SECOND, cost=QUICK)
    return store


def _add(repository: Repository) -> None:
    with suppress(AlreadyExists):
        repository.keys.add_passphrase("third", THIRD, cost=QUICK)


def _add_recovery_key(repository: Repository) -> None:
    with suppress(AlreadyExists):
        repository.keys.add_recovery_key("paper")


def _remove(repository: Repository) -> None:
    if "second" in {slot for slot, _, _ in repository.keys.list_slots()}:
        repository.keys.remove_slot("second")


def _rotate(repository: Repository) -> None:
    repository.keys.start_epoch()


@pytest.mark.scenario(42, 43)
@pytest.mark.parametrize(
    ("change", "opens"),
    [
        (_add, [PASSPHRASE, SECOND, THIRD]),
        (_add_recovery_key, [PASSPHRASE, SECOND]),
        (_remove, [PASSPHRASE]),
        (_rotate, [PASSPHRASE, SECOND]),
    ],
)
def test_killed_at_any_step_the_keys_open_and_the_change_can_be_made_again(
    before: MemoryStore,
    tmp_path: Path,
    injections: Injections,
    change: Callable[[Repository], None],
    opens: list[str],
) -> None:
    step, finished = 0, False
    while not finished:
        store = MemoryStore()
        store.objects = dict(before.objects)
        with reopen(FaultyStore(store, crash_at=step), tmp_path / f"doomed-{step}") as repository:
            try:
                change(repository)
                finished = True
            except Crash:
                pass
        with reopen(store, tmp_path / f"next-{step}") as repository:
            assert restored(repository, "a") == CONTENT
            assert len(repository.keys.list_slots()) >= 2
            change(repository)
            back_up(repository, "b", CONTENT)
        for secret in opens:
            with reopen(store, tmp_path / f"next-{step}", secret) as repository:
                assert (restored(repository, "a"), restored(repository, "b")) == (CONTENT, CONTENT)
        if change is _remove:
            with pytest.raises(Unauthenticated):
                reopen(store, tmp_path / f"next-{step}", SECOND)
        injections.held()
        step += 1
    assert step > 1


class _Meanwhile(MemoryStore):
    """Does something once, when a key is about to be removed."""

    def __init__(self, objects: dict[str, bytes]) -> None:
        super().__init__()
        self.objects = objects
        self.something: Callable[[], None] | None = None

    def delete(self, name: str) -> None:
        if name.startswith(KEYS) and self.something is not None:
            something, self.something = self.something, None
            something()
        super().delete(name)


@pytest.mark.scenario(42)
def test_of_two_removals_at_one_moment_one_is_taken_back(before: MemoryStore, tmp_path: Path) -> None:
    store = _Meanwhile(before.objects)
    with reopen(store, tmp_path / "one") as one, reopen(store, tmp_path / "other") as other:
        store.something = lambda: other.keys.remove_slot("recovery-1")
        with pytest.raises(FailedPrecondition, match="at the same moment") as told:
            one.keys.remove_slot("second")
        assert "TOO_FEW_KEYS" == told.value.reason
        assert ["passphrase-1", "second"] == [slot for slot, _, _ in one.keys.list_slots()]
    reopen(store, tmp_path / "one", SECOND).close()


def test_an_open_repository_goes_on_while_its_keys_are_changed(before: MemoryStore, tmp_path: Path) -> None:
    with reopen(before, tmp_path / "one") as one, reopen(before, tmp_path / "other", SECOND) as other:
        one.keys.remove_slot("second")
        one.keys.start_epoch()
        point = back_up(other, "b", noise(MIB, 5))
        assert (point.point_id, 2) == ("b", len(list(before.list(EPOCHS))))
        assert {2} == {use.epoch for use in one.keys.epochs() if use.current and use.packs}
        assert restored(one, "b") == noise(MIB, 5)
    with pytest.raises(Unauthenticated):
        reopen(before, tmp_path / "third", SECOND)
