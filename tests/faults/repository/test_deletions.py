"""Deletions at one moment, killed, refused or of what was damaged: the last good points of an asset stay."""

import threading
from pathlib import Path

import pytest

from services.chassis.clock import FakeClock
from services.chassis.errors import DataLoss, FailedPrecondition
from services.mover.repository import MemoryStore, Repository, Store
from services.mover.repository.format.names import LEASES, POINTS, TRASH
from tests.faults.repository.faulty_store import Crash, FaultyStore
from tests.support.injections import Injections
from tests.support.waiting import PATIENCE_S
from tests.unit.repository.world import back_up, new_repository, noise, reopen, restored

CONTENT = {"a": noise(100_000, 1), "b": noise(100_000, 2)}


class Stopping(FaultyStore):
    """Waits before its ``stop``-th request about points or the trash, until it may ``go`` on."""

    def __init__(self, inner: Store) -> None:
        super().__init__(inner, fault=self._count)
        self._requests = self._stop = 0
        self.stopped, self.go = threading.Event(), threading.Event()

    def arm(self, stop: int) -> None:
        self._requests, self._stop = 0, stop
        self.stopped.clear()
        self.go.clear()

    def _count(self, verb: str, name: str) -> None:
        if not name.startswith((POINTS, TRASH)):
            return
        if self._requests == self._stop and not self.go.is_set():
            self.stopped.set()
            assert self.go.wait(PATIENCE_S)
        self._requests += 1


class Deleter:
    """A mover that deletes one point in a thread of its own, and can be stopped on the way."""

    def __init__(self, store: Store, point_id: str, cache: Path, *, purge: bool) -> None:
        self._store = Stopping(store)
        self._store.go.set()
        self._repository = reopen(self._store, cache)
        self._point_id, self._purge = point_id, purge

    def begin(self, stop: int) -> bool:
        """Returns when it has stopped or ended; whether it has stopped."""
        self.refused = False
        self._store.arm(stop)
        self._thread = threading.Thread(target=self._delete)
        self._thread.start()
        assert self._store.stopped.wait(PATIENCE_S)
        return not self._store.go.is_set()

    def finish(self) -> None:
        self._store.go.set()
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()

    def close(self) -> None:
        self._repository.close()

    def _delete(self) -> None:
        try:
            self._repository.delete_point(self._point_id, keep=1, purge=self._purge)
        except FailedPrecondition as error:
            assert "LAST_POINTS" == error.reason
            self.refused = True
        finally:
            self._store.go.set()
            self._store.stopped.set()


@pytest.fixture
def before(tmp_path: Path) -> dict[str, bytes]:
    """Two points of one asset."""
    store = MemoryStore()
    with new_repository(store, tmp_path / "made") as repository:
        for point_id, content in CONTENT.items():
            back_up(repository, point_id, content)
    return dict(store.objects)


@pytest.mark.scenario(26)
@pytest.mark.parametrize("purge", [False, True])
def test_of_two_deletions_that_rely_on_each_others_point_one_is_refused(
    before: dict[str, bytes], tmp_path: Path, purge: bool, injections: Injections
) -> None:
    """One goes to any of its steps, the other to any of its own; then the first ends, then the second."""
    store = MemoryStore()
    store.objects = dict(before)
    one = Deleter(store, "a", tmp_path / "one", purge=purge)
    two = Deleter(store, "b", tmp_path / "two", purge=purge)
    with reopen(store, tmp_path / "looks") as repository:
        first, more = 0, True
        while more:
            second, more_of_second = 0, True
            while more_of_second:
                store.objects = dict(before)
                more = one.begin(first)
                more_of_second = two.begin(second)
                one.finish()
                two.finish()
                _require_one_left(repository, store, one.refused, two.refused)
                injections.held()
                second += 1
            first += 1
    for deleter in (one, two):
        deleter.close()
    assert first > 5


def _require_one_left(repository: Repository, store: MemoryStore, *refused: bool) -> None:
    left = repository.list_points()
    assert left and any(refused)
    assert left == [point_id for point_id, kept in zip("ab", refused, strict=True) if kept]
    for point_id in left:
        assert restored(repository, point_id) == CONTENT[point_id]
        assert not any(name.startswith(f"{TRASH}{point_id}/") for name in store.objects)


@pytest.mark.scenario(26)
@pytest.mark.parametrize("purge", [False, True])
def test_a_deletion_killed_at_any_step_is_finished_or_taken_back(
    before: dict[str, bytes], tmp_path: Path, purge: bool, injections: Injections
) -> None:
    step, finished = 0, False
    while not finished:
        store = MemoryStore()
        store.objects = dict(before)
        with reopen(FaultyStore(store, crash_at=step), tmp_path / f"doomed-{step}") as repository:
            try:
                repository.delete_point("a", purge=purge)
                finished = True
            except Crash:
                pass
        with reopen(store, tmp_path / f"next-{step}") as repository:
            if "a" in repository.list_points():
                assert restored(repository, "a") == CONTENT["a"]
                repository.delete_point("a", purge=purge)
            elif repository.list_trash() and not finished:
                repository.undelete_point("a")
                assert restored(repository, "a") == CONTENT["a"]
                repository.delete_point("a", purge=purge)
            assert repository.list_points() == ["b"]
            assert purge == (not repository.list_trash())
        injections.held()
        step += 1
    assert step > 3


def test_a_point_that_somebody_was_about_to_delete_does_not_count_until_it_is_taken_back(
    before: dict[str, bytes], tmp_path: Path
) -> None:
    store = MemoryStore()
    store.objects = {**before, f"{TRASH}b/{1:012d}": before["points/b"]}
    with reopen(store, tmp_path / "here") as repository:
        with pytest.raises(FailedPrecondition, match="Another one, b, is being deleted too") as refused:
            repository.delete_point("a")
        assert "take it back out of the trash" in refused.value.hint
        assert repository.list_points() == ["a", "b"]
        repository.undelete_point("b")
        repository.delete_point("a")
        assert repository.list_points() == ["b"]


def test_a_deletion_that_is_refused_announces_nothing(before: dict[str, bytes], tmp_path: Path) -> None:
    """Whoever looks meanwhile would take what it had put into the trash for a deletion."""
    store = MemoryStore()
    store.objects = dict(before)
    watched = FaultyStore(store)
    with reopen(watched, tmp_path / "here") as repository:
        with pytest.raises(FailedPrecondition, match="last 2 good points"):
            repository.delete_point("a", keep=2)
        assert [] == watched.steps
        assert ["a", "b"] == repository.list_points()


def test_of_two_who_delete_one_point_in_one_second_each_takes_back_its_own_copy(
    before: dict[str, bytes], tmp_path: Path
) -> None:
    store = MemoryStore()
    theirs = f"{TRASH}a/{int(FakeClock().now().timestamp()):012d}"
    store.objects = {**before, theirs: before["points/a"], f"{TRASH}b/{1:012d}": before["points/b"]}
    with (
        reopen(store, tmp_path / "here") as repository,
        pytest.raises(FailedPrecondition, match="Another one, b, is being deleted too"),
    ):
        repository.delete_point("a")
    assert [theirs] == [name for name in store.objects if name.startswith(f"{TRASH}a/")]


def test_the_copy_of_a_point_that_somebody_purged_meanwhile_is_kept_by_whoever_is_refused(
    before: dict[str, bytes], tmp_path: Path
) -> None:
    """It may be all that is left of it."""
    store = MemoryStore()
    store.objects = {**before, f"{TRASH}b/{1:012d}": before["points/b"]}

    def purged(verb: str, name: str) -> None:
        if (verb, name) == ("list", TRASH):
            store.objects.pop("points/a", None)

    with reopen(FaultyStore(store, fault=purged), tmp_path / "here") as repository:
        with pytest.raises(FailedPrecondition, match="Another one, b, is being deleted too"):
            repository.delete_point("a")
        assert ["b"] == repository.list_points()
        repository.undelete_point("a")
        assert restored(repository, "a") == CONTENT["a"]


@pytest.mark.parametrize("harm", ["flipped", "of another point"])
def test_a_copy_that_is_not_the_point_as_it_was_is_not_taken_back(
    before: dict[str, bytes], tmp_path: Path, harm: str
) -> None:
    store = MemoryStore()
    store.objects = dict(before)
    with reopen(store, tmp_path / "here") as repository:
        repository.delete_point("a")
        (copy,) = [name for name in store.objects if name.startswith(TRASH)]
        data = store.objects[copy]
        wrong = data[:-40] + bytes([data[-40] ^ 1]) + data[-39:] if harm == "flipped" else before["points/b"]
        store.objects[copy] = wrong
        with pytest.raises(DataLoss, match=copy):
            repository.undelete_point("a")
        assert ["b"] == repository.list_points()
        assert [copy] == [name for name in store.objects if name.startswith((TRASH, LEASES))]
        store.objects[copy] = data
        repository.undelete_point("a")
        assert restored(repository, "a") == CONTENT["a"]
