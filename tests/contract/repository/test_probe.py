"""A probe says what a store can be trusted with, and leaves nothing behind."""

import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from services.chassis.errors import AlreadyExists, PermissionDenied, ResourceExhausted, Unavailable
from services.mover.repository import DirectoryStore, MemoryStore, Store
from services.mover.repository.probe import probe
from services.mover.repository.probing import LockTrial, ProbeReport, StoreFacts, Verdict
from services.mover.repository.stores.append_only import AppendOnlyStore
from services.mover.repository.stores.mounts import file_system_of
from services.mover.repository.stores.s3 import S3Store
from services.mover.repository.types import Bytes
from tests.support.faulty_http import faulty_proxy
from tests.support.seaweed import Seaweed
from tests.unit.repository.world import new_repository


class Overwriting(MemoryStore):
    """Takes every put."""

    def put(self, name: str, parts: Sequence[Bytes]) -> None:
        self.objects[name] = b"".join(parts)


class Keeping(MemoryStore):
    """Deletes nothing, and tells of itself."""

    def delete(self, name: str) -> None:
        raise PermissionDenied("No.", reason="STORE_REFUSED")

    def facts(self) -> StoreFacts:
        return StoreFacts(versioned=True, object_lock=True, clock_ahead=timedelta(hours=-2))


def verdicts(report: ProbeReport) -> dict[str, Verdict]:
    return {finding.check: finding.verdict for finding in report.findings}


GOOD = dict.fromkeys(
    (
        "create-only",
        "one-creator",
        "read-after-write",
        "ranged-reads",
        "list-after-write",
        "delete",
        "throughput",
    ),
    Verdict.GOOD,
)
PLACE = {"room", "durability"}
"""What depends on where the tests run."""


@pytest.mark.parametrize("kind", ["directory", "memory", "s3"])
def test_a_good_store_is_good_and_empty_afterwards(
    request: pytest.FixtureRequest, kind: str, tmp_path: Path
) -> None:
    store: Store = MemoryStore()
    if kind == "directory":
        store = DirectoryStore(tmp_path)
    if kind == "s3":
        seaweed: Seaweed = request.getfixturevalue("seaweed")
        store = seaweed.store(tmp_path.name)
    report = probe(store, os.urandom)
    more = {"clock": Verdict.GOOD, "versioning": Verdict.GOOD, "object-lock": Verdict.LIMITED}
    found = {check: verdict for check, verdict in verdicts(report).items() if check not in PLACE}
    assert GOOD | (more if kind == "s3" else {}) == found
    assert min(report.write_rate, report.read_rate) > 0
    assert [] == list(store.list(""))
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize("lock", ["", "30d"])
def test_a_lock_is_tried_and_nothing_is_left_locked(seaweed: Seaweed, tmp_path: Path, lock: str) -> None:
    store = seaweed.locking(tmp_path.name, lock)
    report = probe(store, os.urandom)
    assert report.usable
    assert Verdict.GOOD is verdicts(report)["object-lock"]
    (told,) = (each.message for each in report.findings if each.check == "object-lock")
    assert ("Points are locked here." in told) == bool(lock)
    assert [] == list(store.list(""))


@pytest.mark.scenario(43)
def test_a_bucket_that_only_says_it_locks_is_unfit_for_a_repository_that_relies_on_it(
    seaweed: Seaweed, tmp_path: Path
) -> None:
    """Between us and the server somebody forgets the lock of whatever is put."""

    class Forgetful(S3Store):
        def facts(self) -> StoreFacts:
            return StoreFacts(versioned=False, object_lock=True, clock_ahead=timedelta())

        def try_lock(self, name: str, until: datetime) -> LockTrial:
            return LockTrial(locked=False, refuses_deletion=False, refuses_shortening=False)

    for lock, verdict in (("", Verdict.LIMITED), ("30d", Verdict.BAD)):
        place = seaweed.place(tmp_path.name, lock=lock)
        report = probe(Forgetful(place, credentials=seaweed.credentials), os.urandom)
        assert verdict is verdicts(report)["object-lock"]
        assert report.usable == (not lock)


def test_a_bucket_that_cannot_lock_is_unfit_for_a_url_with_a_lock(seaweed: Seaweed, tmp_path: Path) -> None:
    store = S3Store(seaweed.place(tmp_path.name, lock="30d"), credentials=seaweed.credentials)
    report = probe(store, os.urandom)
    assert not report.usable
    assert "object-lock" == report.findings[0].check
    assert "create-only" not in verdicts(report), "nothing was seen of that"


@pytest.mark.scenario(16)
@pytest.mark.parametrize("says_so", [True, False])
def test_a_store_that_overwrites_is_unfit_whatever_it_says(says_so: bool) -> None:
    class Refusing(Overwriting):
        def put(self, name: str, parts: Sequence[Bytes]) -> None:
            there = name in self.objects
            super().put(name, parts)
            if there:
                raise AlreadyExists(f"{name} exists already.", reason="OBJECT_EXISTS")

    report = probe(Overwriting() if says_so else Refusing(), os.urandom)
    assert Verdict.BAD is verdicts(report)["create-only"]
    assert not report.usable


@pytest.mark.scenario(16)
def test_a_bucket_that_ignores_conditions_is_unfit(seaweed: Seaweed, tmp_path: Path) -> None:
    with faulty_proxy(seaweed.endpoint) as proxy:
        proxy.fault = lambda method, _: (200, "") if method == "PUT" else None
        place = seaweed.place(tmp_path.name, endpoint=proxy.endpoint)
        report = probe(S3Store(place, credentials=seaweed.credentials), os.urandom)
    assert Verdict.BAD is verdicts(report)["create-only"]
    assert "ignores If-None-Match" in report.findings[0].message


@pytest.mark.scenario(15, 18)
def test_what_cannot_be_deleted_or_has_another_time_is_told() -> None:
    report = probe(Keeping(), os.urandom)
    assert report.usable
    limited = {check for check, verdict in verdicts(report).items() if verdict is Verdict.LIMITED}
    assert {"delete", "clock", "versioning", "object-lock"} == limited
    assert any("differ by 7200 s" in finding.message for finding in report.findings)


def test_who_may_not_write_is_told(seaweed: Seaweed, tmp_path: Path) -> None:
    with pytest.raises(PermissionDenied):
        probe(seaweed.store(tmp_path.name, "reader"), os.urandom)


def test_what_a_bucket_does_not_tell_is_not_claimed(seaweed: Seaweed, tmp_path: Path) -> None:
    with faulty_proxy(seaweed.endpoint) as proxy:
        asked = ("?versioning", "?object-lock", "versions")
        proxy.fault = lambda _, path: (403, "AccessDenied") if any(q in path for q in asked) else None
        place = seaweed.place(tmp_path.name, endpoint=proxy.endpoint)
        report = probe(S3Store(place, credentials=seaweed.credentials), os.urandom)
        told = {each.check: each for each in report.findings}
        for check in ("versioning", "object-lock", "hidden"):
            assert Verdict.LIMITED is told[check].verdict
            assert "not known: The store at s3://" in told[check].message
            assert "AccessDenied (403)" in told[check].message
        locking = S3Store(replace(place, lock="1h"), credentials=seaweed.credentials)
        with pytest.raises(PermissionDenied, match="is not known") as refused:
            locking.put("points/p", [b"content"])
        assert "s3:GetBucketObjectLockConfiguration" in refused.value.hint
        assert not any(found.name == "points/p" for found in seaweed.store(tmp_path.name).list(""))


@pytest.mark.scenario(16)
@pytest.mark.parametrize(
    ("put", "told"), [(False, "2 were told that they had"), (True, "another one's is there")]
)
def test_a_store_that_lets_several_create_at_once_is_unfit(put: bool, told: str) -> None:
    """It keeps what exists, as long as nobody else comes at the same moment."""

    class Racing(MemoryStore):
        raced: list[bytes]

        def put(self, name: str, parts: Sequence[Bytes]) -> None:
            if not name.endswith("-raced"):
                super().put(name, parts)
                return
            with self._lock:
                first = name not in self.objects
                if first or not put:
                    self.raced = [*(() if first else self.raced), b"".join(parts)]
                if first or put or len(self.raced) < 3:
                    self.objects[name] = b"".join(parts)
            if not first and (put or len(self.raced) > 2):
                raise AlreadyExists("Taken.", reason="OBJECT_EXISTS")

    report = probe(Racing(), os.urandom)
    assert Verdict.BAD is verdicts(report)["one-creator"]
    assert not report.usable
    assert any(told in finding.message for finding in report.findings)


@pytest.mark.scenario(5)
def test_a_place_without_much_room_is_told_with_all_else(tmp_path: Path) -> None:
    class Small(MemoryStore):
        def put(self, name: str, parts: Sequence[Bytes]) -> None:
            if sum(map(len, parts)) > 1 << 20:
                raise ResourceExhausted(f"No room for {name}.", reason="STORE_FULL")
            super().put(name, parts)

        def free_bytes(self) -> int:
            return 3 << 20

    report = probe(store := Small(), os.urandom)
    limited = {check for check, verdict in verdicts(report).items() if verdict is not Verdict.GOOD}
    assert {"throughput", "room"} == limited
    assert any("Only 3 MiB are free" in finding.message for finding in report.findings)
    assert {} == store.objects


def test_memory_is_no_disk(tmp_path: Path) -> None:
    class Forgetting(MemoryStore):
        def file_system(self) -> str:
            return "tmpfs"

    report = probe(Forgetting(), os.urandom)
    assert Verdict.BAD is verdicts(report)["durability"]
    assert not report.usable


def test_the_file_system_of_a_directory_is_told(tmp_path: Path) -> None:
    device = tmp_path.stat().st_dev
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "22 1 0:99 / /proc rw - proc proc rw\n"
        f"23 1 {os.major(device)}:{os.minor(device)} / /a\\040b rw,relatime shared:1 - tmpfs none rw\n"
    )
    assert "tmpfs" == file_system_of(tmp_path, mounts)
    mounts.write_text("22 1 0:99 / /proc rw - proc proc rw\n")
    assert file_system_of(tmp_path, mounts) is None
    assert file_system_of(tmp_path / "none", mounts) is None
    assert file_system_of(tmp_path, tmp_path / "none") is None


def test_nobody_is_asked_again_and_again_when_nobody_answers() -> None:
    asked: list[str] = []

    class Away(MemoryStore):
        def put(self, name: str, parts: Sequence[Bytes]) -> None:
            raise Unavailable("Nobody answers.", reason="STORE_UNREACHABLE")

        def delete(self, name: str) -> None:
            asked.append(name)

    with pytest.raises(Unavailable):
        probe(Away(), os.urandom)
    assert [] == asked


def test_a_repository_is_made_where_a_probe_could_not_clean_up(tmp_path: Path) -> None:
    store = MemoryStore()
    probe(AppendOnlyStore(store), os.urandom)
    (left,) = store.objects
    new_repository(store, tmp_path).close()
    assert left in store.objects


def test_what_a_probe_that_died_left_is_removed_by_a_later_one() -> None:
    store = MemoryStore()
    start = datetime(2026, 1, 1, tzinfo=UTC)

    store.put(f"probe-{int(start.timestamp()):012d}-dead-big", [b"x"])
    probe(store, os.urandom, now=lambda: start + timedelta(minutes=5))
    assert 1 == len(list(store.list("")))
    probe(store, os.urandom, now=lambda: start + timedelta(hours=2))
    assert [] == list(store.list(""))
