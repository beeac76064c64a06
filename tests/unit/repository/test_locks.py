"""Where objects can be locked, all that a point needs is: wherever it comes from."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from services.chassis.errors import NotFound, PermissionDenied
from services.mover.repository import MemoryStore, Repository, create_repository, open_repository
from services.mover.repository.format.names import FEATURES, HEADER, KEYS, PACKS
from services.mover.repository.types import Bytes
from tests.unit.repository.world import (
    KIB,
    MIB,
    NOW,
    OPTIONS,
    PASSPHRASE,
    QUICK,
    add_disk,
    back_up,
    description,
    noise,
    restored,
)

HOUR = timedelta(hours=1)
A = noise(2 * MIB, 1)
LOCKED = (HEADER, FEATURES, KEYS, PACKS, "points/")


@dataclass
class Clock:
    time: datetime = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return self.time.timestamp()


class LockingMemory(MemoryStore):
    """Locks for a period what points need, and a quarter longer when it is put."""

    def __init__(self, clock: Clock, place: str = "memory:locking", period: timedelta = HOUR) -> None:
        super().__init__(place)
        self.clock, self.until = clock, dict[str, datetime]()
        self.lock_period = period

    def put(self, name: str, parts: Sequence[Bytes]) -> None:
        super().put(name, parts)
        if name.startswith(LOCKED):
            self.until[name] = self.clock.time + self.lock_period + self.lock_period / 4

    def delete(self, name: str) -> None:
        if self.locked_until(name) is not None:
            raise PermissionDenied(f"{name} is locked.", reason="OBJECT_LOCKED")
        super().delete(name)
        self.until.pop(name, None)

    def locked_until(self, name: str) -> datetime | None:
        if name not in self.objects:
            raise NotFound(f"{name} does not exist.", reason="OBJECT_MISSING")
        until = self.until.get(name)
        return until if until is not None and until > self.clock.time else None

    def extend_lock(self, name: str, until: datetime) -> None:
        known = self.locked_until(name)
        self.until[name] = max(until, known or until)

    def too_short(self, *prefixes: str) -> list[str]:
        """What is not locked for an hour from now."""
        end = self.clock.time + HOUR
        return [name for name in sorted(self.objects) if name.startswith(prefixes) and self.until[name] < end]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(clock: Clock) -> LockingMemory:
    return LockingMemory(clock)


@pytest.fixture
def repository(store: LockingMemory, clock: Clock, tmp_path: Path) -> Iterator[Repository]:
    made, _ = create_repository(
        store, PASSPHRASE, tmp_path, chunk_bytes=256 * KIB, pack_bytes=MIB, cost=QUICK, time=clock
    )
    with made:
        yield made


def test_a_point_that_comes_back_from_the_trash_is_locked_with_all_it_needs(
    repository: Repository, store: LockingMemory, clock: Clock
) -> None:
    back_up(repository, "a", A)
    needed = tuple(name for name in store.objects if name.startswith(PACKS))
    clock.time += 2 * HOUR
    repository.delete_point("a", keep=0)
    repository.undelete_point("a")
    assert [] == store.too_short(*needed, HEADER, KEYS, "points/a")
    assert restored(repository, "a") == A


def test_what_an_attempt_that_died_had_put_is_locked_as_long_as_what_is_put_now(
    repository: Repository, store: LockingMemory, clock: Clock
) -> None:
    session = repository.begin_backup("a", transfer_id="t", options=OPTIONS)
    add_disk(session, A)
    session._pipeline.drain()
    session._saver.save_all()
    session.abort()
    clock.time += timedelta(minutes=40)
    with repository.begin_backup("a", transfer_id="t", options=OPTIONS) as again:
        add_disk(again, A)
        assert again.resumed_from_bytes == len(A)
        point = again.commit(description())
    assert [] == store.too_short(PACKS, HEADER, KEYS, "points/a")
    assert datetime.fromisoformat(point.locked_until) >= clock.time + HOUR


def test_a_backup_that_takes_long_locks_what_it_put_first_as_long_as_what_it_put_last(
    repository: Repository, store: LockingMemory, clock: Clock
) -> None:
    with repository.begin_backup("a", options=OPTIONS) as session:
        add_disk(session, A)
        session._pipeline.drain()
        clock.time += timedelta(minutes=40)
        point = session.commit(description())
    assert [] == store.too_short(PACKS, HEADER, KEYS, "points/a")
    assert datetime.fromisoformat(point.locked_until) >= clock.time + HOUR


def test_features_are_locked_as_long_as_the_points_that_need_them(
    repository: Repository, store: LockingMemory, clock: Clock
) -> None:
    back_up(repository, "a", A)
    repository.prune(NOW)
    assert [f"{FEATURES}writer.prune"] == [name for name in store.objects if name.startswith(FEATURES)]
    clock.time += timedelta(minutes=40)
    back_up(repository, "b", noise(MIB, 2))
    assert [] == store.too_short(FEATURES, HEADER, KEYS, "points/b")


def test_a_pack_that_was_locked_after_it_was_planned_stays_in_the_index_and_is_told(
    repository: Repository, store: LockingMemory, clock: Clock
) -> None:
    back_up(repository, "a", A)
    clock.time += 2 * HOUR
    back_up(repository, "b", noise(MIB, 2))
    repository.delete_point("a", keep=0)
    going = [name for name in store.objects if name.startswith(f"{PACKS}data/")]

    def lock_what_is_planned(activity: str, total: int, done: int) -> None:
        if activity == "waiting for backups that began earlier":
            for name in going:
                store.extend_lock(name, clock.time + 3 * HOUR)

    report = repository.prune(NOW, listener=lock_what_is_planned)
    assert report.locked_packs > 0 and report.locked_until == clock.time + 3 * HOUR
    assert set(going) <= set(store.objects)
    again = back_up(repository, "c", A)
    assert again.statistics["new_bytes"] < 4 * KIB, "but for its map, what stayed is used"
    assert restored(repository, "c") == A


def test_a_point_made_elsewhere_says_nothing_of_how_long_its_copy_is_locked(
    store: LockingMemory, clock: Clock, tmp_path: Path
) -> None:
    elsewhere = LockingMemory(clock, "memory:elsewhere", 10 * HOUR)
    made, _ = create_repository(
        elsewhere, PASSPHRASE, tmp_path / "a", chunk_bytes=256 * KIB, pack_bytes=MIB, cost=QUICK, time=clock
    )
    with made:
        back_up(made, "a", A)
        made.copy_to(store, tmp_path / "copies")
    clock.time += timedelta(minutes=40)
    with open_repository(store, PASSPHRASE, tmp_path / "b", time=clock) as copied:
        point = back_up(copied, "b", A, base="a", changed=[])
    assert [] == store.too_short(PACKS, HEADER, KEYS, "points/b")
    assert datetime.fromisoformat(point.locked_until) >= clock.time + HOUR


def test_small_packs_that_are_locked_are_not_stored_again(
    repository: Repository, store: LockingMemory, clock: Clock
) -> None:
    """It would free nothing."""
    for number in range(6):
        back_up(repository, f"p{number}", noise(100 * KIB, number))
    report = repository.prune(NOW)
    assert (0, 0) == (report.stored_bytes, report.repacked_packs) and report.locked_packs >= 6
    clock.time += 2 * HOUR
    assert repository.prune(NOW).repacked_packs >= 6
