"""A probe says what a store can be trusted with, and leaves nothing behind."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from services.chassis.errors import PermissionDenied
from services.mover.repository import DirectoryStore, MemoryStore, Store
from services.mover.repository.probe import probe
from services.mover.repository.probing import LockTrial, ProbeReport, StoreFacts, Verdict
from services.mover.repository.stores.s3 import S3Store
from services.mover.repository.types import Bytes
from tests.support.faulty_http import faulty_proxy
from tests.support.seaweed import Seaweed


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
    ("create-only", "read-after-write", "ranged-reads", "list-after-write", "delete", "throughput"),
    Verdict.GOOD,
)


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
    assert GOOD | (more if kind == "s3" else {}) == verdicts(report)
    assert report.usable
    assert min(report.write_rate, report.read_rate) > 0
    assert [] == list(store.list(""))


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


@pytest.mark.scenario(16)
def test_a_store_that_overwrites_is_unfit() -> None:
    report = probe(Overwriting(), os.urandom)
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


def test_what_a_probe_that_died_left_is_removed_by_a_later_one() -> None:
    store = MemoryStore()
    start = datetime(2026, 1, 1, tzinfo=UTC)

    store.put(f"probe/{int(start.timestamp()):012d}-dead/big", [b"x"])
    probe(store, os.urandom, now=lambda: start + timedelta(minutes=5))
    assert 1 == len(list(store.list("")))
    probe(store, os.urandom, now=lambda: start + timedelta(hours=2))
    assert [] == list(store.list(""))
