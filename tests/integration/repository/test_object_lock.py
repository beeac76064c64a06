"""Object lock: what a point needs cannot be deleted by anybody, for as long as was asked, and then it can."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from services.chassis.errors import FailedPrecondition, PermissionDenied, XenkeepError
from services.mover.repository import MemoryStore, PruneOptions, create_repository, open_repository
from services.mover.repository.stores.s3 import S3Store
from services.mover.repository.stores.s3_place import connect
from tests.support.seaweed import LOCKING, Seaweed
from tests.unit.repository.world import (
    BLOCK,
    KIB,
    MIB,
    OPTIONS,
    PASSPHRASE,
    QUICK,
    back_up,
    noise,
    overwritten,
    restored,
)

NOW = PruneOptions(grace_seconds=0, patience_seconds=0, repack_below=0)
HOUR = timedelta(hours=1)
A, B = noise(2 * MIB, 1), noise(2 * MIB, 2)
NEEDED = ("xenkeep-repository.json", "keys/", "packs/", "points/")


@dataclass
class Clock:
    """The machine's time, from now on moved by hand: the server's goes on as it does."""

    ahead: timedelta = field(default_factory=timedelta)

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def monotonic(self) -> float:
        return self.now().timestamp()


class Locked:
    """A repository whose points are locked for an hour."""

    def __init__(self, seaweed: Seaweed, folder: Path) -> None:
        self.clock = Clock()
        self.told: list[str] = []
        self.store = seaweed.locking(
            folder.name, "1h", self.clock.now, lambda code, message: self.told.append(code)
        )
        self.client = connect(seaweed.place("", bucket=LOCKING), seaweed.credentials, None)
        self.prefix = f"{folder.name}/"
        self.folder = folder
        self.repository, _ = create_repository(
            self.store,
            PASSPHRASE,
            folder / "cache",
            chunk_bytes=256 * KIB,
            pack_bytes=MIB,
            cost=QUICK,
            time=self.clock,
        )

    def names(self, *prefixes: str) -> list[str]:
        return sorted(stored.name for each in prefixes for stored in self.store.list(each))

    def until(self, name: str) -> datetime | None:
        return self.store.locked_until(name)


@pytest.fixture
def locked(seaweed: Seaweed, tmp_path: Path) -> Iterator[Locked]:
    made = Locked(seaweed, tmp_path)
    with made.repository:
        yield made
    made.client.close()


@pytest.mark.scenario(17, 43)
def test_nobody_deletes_what_a_point_needs_with_the_movers_own_credentials(locked: Locked) -> None:
    point = back_up(locked.repository, "a", A)
    assert datetime.fromisoformat(point.locked_until) >= locked.clock.now() + HOUR
    needed = locked.names(*NEEDED)
    assert len(needed) > 6
    for name in needed:
        until = locked.until(name)
        assert until is not None and until >= locked.clock.now() + HOUR, name
        head = locked.client.head_object(Bucket=LOCKING, Key=locked.prefix + name)
        for bypass in (False, True):
            with pytest.raises(ClientError, match="AccessDenied"):
                locked.client.delete_object(
                    Bucket=LOCKING,
                    Key=locked.prefix + name,
                    VersionId=head["VersionId"],
                    BypassGovernanceRetention=bypass,
                )
        if not name.startswith("keys/"):
            with pytest.raises(PermissionDenied, match="is locked until"):
                locked.store.delete(name)
    assert not [name for name in locked.names("leases/", "index/") if locked.until(name) is not None]
    assert [] == locked.names("leases/")
    assert restored(locked.repository, "a") == A


@pytest.mark.scenario(35, 43)
def test_what_a_thief_hides_or_covers_is_there_when_that_is_removed(locked: Locked, tmp_path: Path) -> None:
    back_up(locked.repository, "a", A)
    needed = locked.names(*NEEDED)
    for name in needed:
        locked.client.delete_object(Bucket=LOCKING, Key=locked.prefix + name)
    covered = next(name for name in needed if name.startswith("packs/"))
    locked.client.put_object(Bucket=LOCKING, Key=locked.prefix + covered, Body=b"ha ha")
    with pytest.raises(XenkeepError):
        open_repository(locked.store, PASSPHRASE, tmp_path / "during", time=locked.clock)

    found = locked.client.list_object_versions(Bucket=LOCKING, Prefix=locked.prefix)
    genuine = {each["Key"]: each for each in sorted(found["Versions"], key=_newest_first)}
    for each in (*found["DeleteMarkers"], *found["Versions"]):
        if each["VersionId"] != genuine.get(each["Key"], {}).get("VersionId"):
            locked.client.delete_object(Bucket=LOCKING, Key=each["Key"], VersionId=each["VersionId"])
    with open_repository(locked.store, PASSPHRASE, tmp_path / "after", time=locked.clock) as repository:
        assert restored(repository, "a") == A
        assert repository.verify(full=True).findings == ()


def _newest_first(version: Any) -> Any:
    """By when it was made; of several of one second a lock tells: nobody locks what covers."""
    return -version["LastModified"].timestamp(), version["Size"] > len(b"ha ha")


@pytest.mark.scenario(43)
def test_a_locked_point_is_not_deleted_and_a_prune_says_what_it_keeps_and_until_when(locked: Locked) -> None:
    repository = locked.repository
    back_up(repository, "a", A)
    back_up(repository, "b", B)
    for purge in (False, True):
        with pytest.raises(FailedPrecondition, match="Restore point a is locked until"):
            repository.delete_point("a", keep=0, purge=purge)
    assert ["a", "b"] == repository.list_points() and [] == locked.names("trash/")

    locked.clock.ahead = 3 * HOUR  # the mover's clock says that all locks are over: the server's does not
    with pytest.raises(PermissionDenied):
        repository.delete_point("a", keep=0)
    assert ["a", "b"] == repository.list_points() and [] == locked.names("trash/")
    locked.clock.ahead = timedelta()
    report = repository.prune(NOW)
    assert (0, 0) == (report.deleted_packs, report.locked_packs), "nothing is unneeded"


@pytest.mark.scenario(43)
def test_packs_that_nothing_needs_stay_until_their_lock_is_over(seaweed: Seaweed, tmp_path: Path) -> None:
    """What a backup stored that was given up is needed by nobody, and locked all the same."""
    place = Locked(seaweed, tmp_path)
    with place.repository as repository:
        back_up(repository, "a", A)
        session = repository.begin_backup("b", options=OPTIONS)
        session.stream("dump", [B])
        session._pipeline.drain()
        session.abort()
        foretold = repository.prune(PruneOptions(dry_run=True))
        report = repository.prune(NOW)
        assert report.deleted_packs == foretold.deleted_packs == 0
        assert report.locked_packs == foretold.locked_packs > 1
        assert report.locked_bytes > 2 * MIB
        assert report.locked_until is not None and report.locked_until > place.clock.now() + HOUR
        assert [] == place.names("prune/")
        assert repository.verify(full=True).findings == ()
        point = back_up(repository, "c", B)  # what is there is used, and locked as long as the point needs it
        assert restored(repository, "c") == B
        assert datetime.fromisoformat(point.locked_until) >= place.clock.now() + HOUR
    place.client.close()


@pytest.mark.scenario(43)
def test_after_the_lock_points_are_deleted_and_their_space_is_freed(seaweed: Seaweed, tmp_path: Path) -> None:
    store = seaweed.locking(tmp_path.name, "1s")
    repository, _ = create_repository(
        store, PASSPHRASE, tmp_path, chunk_bytes=256 * KIB, pack_bytes=MIB, cost=QUICK
    )
    with repository:
        back_up(repository, "a", A)
        back_up(repository, "b", B)
        _await_unlocked(store)
        repository.delete_point("a", keep=0)
        report = repository.prune(NOW)
        assert report.deleted_packs >= 3 and report.locked_packs == 0
        assert restored(repository, "b") == B
    client = connect(seaweed.place("", bucket=LOCKING), seaweed.credentials, None)
    versions = client.list_object_versions(Bucket=LOCKING, Prefix=f"{tmp_path.name}/packs/")
    client.close()
    left = {stored.name for stored in store.list("packs/")}
    assert {f"{tmp_path.name}/{name}" for name in left} == {each["Key"] for each in versions["Versions"]}
    assert "DeleteMarkers" not in versions, "a deletion deletes the version and hides none"


def _await_unlocked(store: S3Store) -> None:
    """The server's clock has to pass the longest lock: no event tells of that."""
    for stored in list(store.list("")):
        while (until := store.locked_until(stored.name)) is not None:
            threading.Event().wait((until - datetime.now(UTC)).total_seconds() + 0.1)


@pytest.mark.scenario(43)
def test_a_newer_point_extends_the_locks_of_the_old_packs_it_relies_on(locked: Locked) -> None:
    first = back_up(locked.repository, "p0", A)
    packs = locked.names("packs/data/")
    before = {name: locked.until(name) for name in locked.names(*NEEDED)}

    locked.clock.ahead = timedelta(minutes=10)  # within the margin: nothing has to be done
    content = overwritten(A, {BLOCK: noise(BLOCK, 5)})
    second = back_up(locked.repository, "p1", content, base="p0", changed=[(BLOCK, BLOCK)])
    assert {name: locked.until(name) for name in before} == before
    assert second.locked_until <= first.locked_until
    assert datetime.fromisoformat(second.locked_until) >= locked.clock.now() + HOUR

    locked.clock.ahead = timedelta(minutes=30)
    third = back_up(locked.repository, "p2", content, base="p1", changed=[])
    assert datetime.fromisoformat(third.locked_until) >= locked.clock.now() + HOUR
    for name in (*packs, *locked.names("keys/"), "xenkeep-repository.json"):
        until = locked.until(name)
        assert until is not None and until >= locked.clock.now() + HOUR, name
    assert before["points/p0"] == locked.until("points/p0"), "an old point is locked no longer than was asked"

    locked.clock.ahead = timedelta(minutes=60)
    fourth = back_up(locked.repository, "full", A)  # all of it is found, in packs of others
    assert fourth.statistics["new_bytes"] == 0
    for name in packs:
        until = locked.until(name)
        assert until is not None and until >= locked.clock.now() + HOUR, name


@pytest.mark.scenario(43)
def test_what_a_copied_point_relies_on_is_locked_at_its_place_too(seaweed: Seaweed, tmp_path: Path) -> None:
    clock = Clock()
    there = seaweed.locking(tmp_path.name, "1h", clock.now)
    here = MemoryStore()
    repository, _ = create_repository(
        here, PASSPHRASE, tmp_path / "here", chunk_bytes=256 * KIB, pack_bytes=MIB, cost=QUICK, time=clock
    )
    with repository:
        back_up(repository, "p0", A)
        assert ["p0"] == repository.copy_to(there, tmp_path / "copies").copied_points
        clock.ahead = timedelta(minutes=40)
        content = overwritten(A, {BLOCK: noise(BLOCK, 5)})
        back_up(repository, "p1", content, base="p0", changed=[(BLOCK, BLOCK)])
        assert ["p1"] == repository.copy_to(there, tmp_path / "copies").copied_points
        for stored in (*there.list("packs/data/"), *there.list("keys/")):
            until = there.locked_until(stored.name)
            assert until is not None and until >= clock.now() + HOUR, stored.name
        with open_repository(there, PASSPHRASE, tmp_path / "there", time=clock) as copied:
            assert restored(copied, "p1") == content
            point = back_up(copied, "p2", content, base="p1", changed=[])
            assert datetime.fromisoformat(point.locked_until) >= clock.now() + HOUR


@pytest.mark.scenario(43)
def test_a_leaked_key_is_useless_here_although_its_slot_is_locked(locked: Locked) -> None:
    keys = locked.repository.keys
    keys.add_passphrase("passphrase-2", "another passphrase", cost=QUICK)
    keys.remove_slot("passphrase-1")
    assert ["OBJECT_HIDDEN"] == locked.told
    assert "passphrase-1" not in [slot for slot, _, _ in keys.list_slots()]


def test_a_bucket_that_cannot_lock_is_refused_before_anything_is_written(
    seaweed: Seaweed, tmp_path: Path
) -> None:
    store = S3Store(seaweed.place(tmp_path.name, lock="30d"), credentials=seaweed.credentials)
    with pytest.raises(FailedPrecondition, match="does not lock objects"):
        create_repository(store, PASSPHRASE, tmp_path, cost=QUICK)
    assert [] == list(seaweed.store(tmp_path.name).list(""))
