"""A bucket that keeps versions, and a thief who can do no more than hide what is in it; and small pages."""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from services.chassis.errors import FailedPrecondition, NotFound, PermissionDenied, XenkeepError
from services.mover.repository import MemoryStore, PruneOptions, open_repository
from services.mover.repository.probe import probe
from services.mover.repository.probing import ProbeFinding, Verdict
from services.mover.repository.stores.append_only import AppendOnlyStore
from services.mover.repository.stores.s3 import S3Store
from services.mover.repository.trash import delete_point
from services.mover.repository.uncovering import bring_back_keys
from tests.support.faulty_http import faulty_proxy
from tests.support.moto import KEYS_A_PAGE, Moto
from tests.support.moto import moto as moto
from tests.unit.repository.world import (
    BLOCK,
    KIB,
    MIB,
    PASSPHRASE,
    QUICK,
    back_up,
    new_repository,
    noise,
    overwritten,
    reopen,
    restored,
)

A = noise(2 * MIB, 1)
NOW = PruneOptions(grace_seconds=0, patience_seconds=0, repack_below=0)


@dataclass
class Bucket:
    """A store in a bucket of the test's own, and somebody else with the same credentials."""

    name: str
    store: S3Store
    thief: Any
    credentials: Path
    prefix: str = "here/"
    told: list[str] = field(default_factory=list)

    def hide(self, name: str, times: int = 1) -> None:
        for _ in range(times):
            self.thief.delete_object(Bucket=self.name, Key=self.prefix + name)

    def hide_later(self, names: list[str], than: str) -> None:
        """Hide them when a marker that is set has a later time than that of ``than``: S3 counts seconds."""
        (before,) = (each.since for each in self.store.hidden(than))
        self.store.put("clock", [b"tick"])
        self.hide("clock")
        while next(each.since for each in self.store.hidden("clock")) <= before:
            self.store.uncover("clock")
            self.hide("clock")
        for name in names:
            self.hide(name)

    def names(self, prefix: str) -> list[str]:
        return sorted(stored.name for stored in self.store.list(prefix))


@pytest.fixture
def bucket(moto: Moto, request: pytest.FixtureRequest) -> Iterator[Bucket]:
    name = hashlib.sha256(request.node.name.encode()).hexdigest()[:32]
    client = moto.client(name)
    yield Bucket(name, moto.store(name), client, moto.credentials)
    client.close()


@pytest.mark.scenario(14)
def test_a_repository_whose_lists_come_a_few_keys_at_a_time_is_whole(bucket: Bucket, tmp_path: Path) -> None:
    changed = overwritten(A, {BLOCK: noise(BLOCK, 2)})
    with new_repository(bucket.store, tmp_path / "one", 256 * KIB, MIB) as repository:
        for number in range(KEYS_A_PAGE + 2):
            back_up(repository, f"p{number}", A if number else changed)
        assert len(bucket.names("")) > 4 * KEYS_A_PAGE
        repository.delete_point("p0", purge=True)
        assert repository.prune(NOW).deleted_packs > 0
    with reopen(bucket.store, tmp_path / "other") as repository:
        assert [f"p{number}" for number in range(1, KEYS_A_PAGE + 2)] == repository.list_points()
        assert restored(repository, "p1") == A
        assert repository.verify(full=True).findings == ()


@pytest.mark.scenario(35, 43)
def test_packs_that_somebody_hides_are_uncovered_by_a_verification_which_says_so(
    bucket: Bucket, tmp_path: Path
) -> None:
    with new_repository(bucket.store, tmp_path / "cache", 256 * KIB, MIB) as repository:
        back_up(repository, "a", A)
        packs = bucket.names("packs/")
        assert len(packs) > KEYS_A_PAGE
        for pack in packs:
            bucket.hide(pack, times=2)
        with pytest.raises(XenkeepError):
            restored(repository, "a")
        found = repository.verify(full=True)
        assert found.findings == () and found.sound_points == ("a",)
        assert ["OBJECT_UNCOVERED"] * len(packs) == [code for code, _ in found.notices]
        assert all("hidden under a delete marker since 20" in text for _, text in found.notices)
        assert restored(repository, "a") == A
        assert () == repository.verify(full=True).notices
        data = bucket.names("packs/data/")
        back_up(repository, "b", A)
        assert data == bucket.names("packs/data/"), "what is back is relied on"


@pytest.mark.scenario(35, 43)
def test_a_pack_that_is_uncovered_is_read_like_all_others(bucket: Bucket, tmp_path: Path) -> None:
    with new_repository(bucket.store, tmp_path / "cache", 256 * KIB, MIB) as repository:
        back_up(repository, "a", A)
        pack = bucket.names("packs/data/")[0]
        other = bytes(bucket.store.size(pack))
        bucket.thief.put_object(Bucket=bucket.name, Key=bucket.prefix + pack, Body=other)
        bucket.hide(pack)
        found = repository.verify(full=False)
        assert ["OBJECT_UNCOVERED"] == [code for code, _ in found.notices]
        assert ("a",) == found.damaged_points
        assert [(pack, ("a",))] == [(each.object, each.points) for each in found.findings]


@pytest.mark.scenario(18, 35)
def test_who_may_not_remove_markers_is_told_that_what_is_missing_is_hidden(
    bucket: Bucket, moto: Moto, tmp_path: Path
) -> None:
    with new_repository(bucket.store, tmp_path / "cache", 256 * KIB, MIB) as repository:
        back_up(repository, "a", A)
    with faulty_proxy(moto.endpoint) as proxy:
        store = moto.store(bucket.name, endpoint=proxy.endpoint)
        with reopen(store, tmp_path / "cache") as repository:
            (hidden, *_) = bucket.names("packs/data/")
            bucket.hide(hidden)
            proxy.fault = lambda method, _: (403, "AccessDenied") if method == "DELETE" else None
            (finding,) = repository.verify(full=False).findings
            assert hidden == finding.object and ("a",) == finding.points
            assert "hidden under a delete marker since" in finding.problem
            assert "Remove the marker" in finding.problem
            proxy.fault = lambda _, path: (403, "AccessDenied") if "versions" in path else None
            (finding,) = repository.verify(full=False).findings
            assert "Whether it is only hidden is not known" in finding.problem
            proxy.fault = lambda *_: None
            assert repository.verify(full=False).findings == ()
            assert restored(repository, "a") == A


@pytest.mark.scenario(35, 43)
def test_restore_points_that_only_a_thief_can_have_hidden_are_uncovered_and_checked(
    bucket: Bucket, moto: Moto, tmp_path: Path
) -> None:
    store = moto.store(bucket.name, lock="1h")
    with new_repository(store, tmp_path / "cache", 256 * KIB, MIB) as repository:
        for number in range(3):
            back_up(repository, f"p{number}", A)
        assert () == repository.verify(full=False).notices
        for point in ("points/p0", "points/p1"):
            bucket.hide(point, times=2)
        bucket.thief.put_object(Bucket=bucket.name, Key=bucket.prefix + "points/No Point", Body=b"x")
        bucket.hide("points/No Point")
        assert ["p2"] == repository.list_points()
        found = repository.verify(full=False)
        assert ["OBJECT_UNCOVERED"] * 2 == [code for code, _ in found.notices]
        assert "points/p0 was hidden under a delete marker since 20" in found.notices[0][1]
        assert ("p0", "p1", "p2") == found.sound_points and () == found.findings
        assert restored(repository, "p0") == A
        assert () == repository.verify(full=False).notices


@pytest.mark.scenario(43)
def test_restore_points_that_may_have_been_deleted_on_purpose_are_told_and_not_uncovered(
    bucket: Bucket, moto: Moto, tmp_path: Path
) -> None:
    with new_repository(moto.store(bucket.name, lock="1h"), tmp_path / "cache", 256 * KIB, MIB) as repository:
        for number in range(5):
            back_up(repository, f"p{number}", A)
    with reopen(moto.store(bucket.name), tmp_path / "cache") as repository:
        repository.delete_point("p0")  # by a mover that does not know of locks
    with reopen(moto.store(bucket.name, lock="1h"), tmp_path / "cache") as repository:
        assert () == repository.verify(full=False).notices, "a deletion with a record"
        bucket.store.delete("deleted/p0")  # as by a release that left none
        ((code, text),) = repository.verify(full=False).notices
        assert "POINTS_HIDDEN" == code and "p0. No Xenkeep has recorded that it deleted them" in text
    late = S3Store(
        moto.place(bucket.name, lock="1h"),
        credentials=moto.credentials,
        now=lambda: datetime.now(UTC) + timedelta(hours=2),
    )
    with reopen(late, tmp_path / "cache") as repository:
        for number in range(1, 4):
            bucket.hide(f"points/p{number}")
        ((code, text),) = repository.verify(full=False).notices
        assert "POINTS_HIDDEN" == code
        assert "p0, p1, p2 and 1 more" in text
        assert ["p4"] == repository.list_points()
        late.uncover("points/p1")
        assert restored(repository, "p1") == A


@pytest.mark.scenario(35, 43)
def test_where_nothing_is_locked_a_hidden_point_is_told_unless_one_with_a_key_deleted_it(
    bucket: Bucket, tmp_path: Path
) -> None:
    def told() -> list[str]:
        notices = repository.verify(full=False).notices
        assert {"POINTS_HIDDEN"} >= {code for code, _ in notices}
        return [text.partition("here?")[2].partition(": ")[2].partition(".")[0] for _, text in notices]

    with new_repository(bucket.store, tmp_path / "cache", 256 * KIB, MIB) as repository:
        for number in range(5):
            back_up(repository, f"p{number}", A)
        repository.delete_point("p0")
        repository.delete_point("p1", keep=0, purge=True)
        assert [] == told()
        bucket.hide("points/p2")
        assert ["p2"] == told() and ["p3", "p4"] == repository.list_points()
        record = bucket.store.get("deleted/p0")
        bucket.thief.put_object(Bucket=bucket.name, Key="here/deleted/p2", Body=record)
        assert ["p2"] == told(), "a record is of one point"
        copy = bucket.store.get("trash/p0/001767225600")
        bucket.thief.put_object(Bucket=bucket.name, Key="here/trash/p2/001767225600", Body=copy)
        assert ["p2"] == told(), "a copy in the trash is no record"
        bucket.store.uncover("points/p2")
        bucket.store.delete("deleted/p2")
        bucket.store.delete("trash/p2/001767225600")
        repository.undelete_point("p0")
        bucket.hide("points/p0")
        assert ["p0"] == told(), "it was taken back, and so its record"
        bucket.store.uncover("points/p0")
        assert restored(repository, "p0") == A


@pytest.mark.scenario(1, 43)
def test_a_prune_removes_the_records_of_deletions_that_tell_nothing_any_more(
    bucket: Bucket, moto: Moto, tmp_path: Path
) -> None:
    class Killed(BaseException):
        """Between the record and the deletion."""

    class Dying(S3Store):
        def delete(self, name: str) -> None:
            if name == "points/p1":
                raise Killed
            super().delete(name)

    with new_repository(bucket.store, tmp_path / "cache", 256 * KIB, MIB) as repository:
        for number in range(4):
            back_up(repository, f"p{number}", A)
        for point in ("p2", "p3"):
            repository.delete_point(point)
        dying = replace(repository._context, store=Dying(bucket.store._place, credentials=bucket.credentials))
        with pytest.raises(Killed):
            delete_point(dying, "p1", keep=0, purge=True)
        versions = bucket.thief.list_object_versions(Bucket=bucket.name, Prefix="here/points/p3")
        for each in (*versions["Versions"], *versions["DeleteMarkers"]):  # as a rule of the bucket's does
            bucket.thief.delete_object(Bucket=bucket.name, Key=each["Key"], VersionId=each["VersionId"])
        assert ["deleted/p1", "deleted/p2", "deleted/p3"] == bucket.names("deleted/")
        with faulty_proxy(moto.endpoint) as proxy:
            proxy.fault = lambda _, path: (403, "AccessDenied") if "versions" in path else None
            with reopen(moto.store(bucket.name, endpoint=proxy.endpoint), tmp_path / "other") as lesser:
                lesser.prune(NOW)
                assert "DELETIONS_KEPT" in [code for code, _ in lesser.notices]
        assert ["deleted/p1", "deleted/p2", "deleted/p3"] == bucket.names("deleted/")
        repository.prune(NOW)
        assert ["deleted/p2"] == bucket.names("deleted/")
        bucket.hide("points/p1")
        ((code, text),) = repository.verify(full=False).notices
        assert "POINTS_HIDDEN" == code and ": p1." in text


def test_where_what_is_deleted_is_gone_no_deletion_is_recorded(tmp_path: Path) -> None:
    store = MemoryStore()
    with new_repository(AppendOnlyStore(store), tmp_path / "cache") as repository:
        context = replace(repository._context, store=store)
        for number in range(2):
            back_up(repository, f"p{number}", A)
        delete_point(context, "p0", keep=0, purge=True)
    assert not [name for name in store.objects if name.startswith("deleted/")]


@pytest.mark.scenario(18, 43)
def test_who_may_not_uncover_points_or_the_header_is_told_what_to_do(
    bucket: Bucket, moto: Moto, tmp_path: Path
) -> None:
    with faulty_proxy(moto.endpoint) as proxy:
        store = moto.store(bucket.name, lock="1h", endpoint=proxy.endpoint)
        with new_repository(store, tmp_path / "cache", 256 * KIB, MIB) as repository:
            back_up(repository, "p", A)
            bucket.hide("points/p")
            bucket.hide("xenkeep-repository.json")
            proxy.fault = lambda method, _: (403, "AccessDenied") if method == "DELETE" else None
            found = repository.verify(full=False)
            ((code, text),) = found.notices
            assert "POINTS_HIDDEN" == code
            assert "p. Uncovering is not possible: " in text and "remove the markers" in text
            (finding,) = found.findings
            assert "xenkeep-repository.json" == finding.object and "Remove the marker" in finding.problem
            with pytest.raises(NotFound) as refused:
                reopen(store, tmp_path / "other")
            assert "REPOSITORY_HEADER_HIDDEN" == refused.value.reason
            known, cache = repository.repository_id, tmp_path / "again"
            with open_repository(store, PASSPHRASE, cache, known_id=known) as again:  # had it before
                assert "HEADER_LOST" == again.notices[0][0] and "hidden under" in again.notices[0][1]
            proxy.fault = lambda _, path: (403, "AccessDenied") if "versions" in path else None
            found = repository.verify(full=False)
            assert ["POINTS_HIDDEN"] == [code for code, _ in found.notices]
            assert "Whether it is only hidden is not known" in found.findings[0].problem
            with pytest.raises(FailedPrecondition) as missing:
                reopen(store, tmp_path / "other")
            assert "REPOSITORY_HEADER_MISSING" == missing.value.reason
            proxy.fault = lambda *_: None
            found = repository.verify(full=False)
            assert ["OBJECT_UNCOVERED"] * 2 == [code for code, _ in found.notices]
            assert () == found.findings and ("p",) == found.sound_points
        with reopen(store, tmp_path / "other") as repository:
            assert restored(repository, "p") == A


@pytest.mark.scenario(43)
def test_keys_that_a_thief_hides_come_back_and_one_that_was_removed_does_not(
    bucket: Bucket, moto: Moto, tmp_path: Path
) -> None:
    store = moto.store(bucket.name, lock="1h")
    with new_repository(store, tmp_path / "cache", 256 * KIB, MIB) as repository:
        for number in (2, 3):
            repository.keys.add_passphrase(f"passphrase-{number}", f"long passphrase {number}", cost=QUICK)
        repository.keys.remove_slot("passphrase-2")
        assert () == repository.verify(full=False).notices
        left = bucket.names("keys/")
        assert 3 == len(left)
        bucket.hide_later(left, than="keys/passphrase-2")
        with pytest.raises(FailedPrecondition) as refused:
            reopen(store, tmp_path / "other")
        assert "REPOSITORY_KEYS_MISSING" == refused.value.reason
        notices = repository.verify(full=False).notices
        assert ["OBJECT_UNCOVERED"] * 2 == [code for code, _ in notices]
        assert 2 == len(bucket.names("keys/")) and set(bucket.names("keys/")) < set(left)
        for slot in bucket.names("keys/"):
            bucket.hide(slot)
        with faulty_proxy(moto.endpoint) as proxy:
            proxied = moto.store(bucket.name, endpoint=proxy.endpoint)
            proxy.fault = lambda method, _: (403, "AccessDenied") if method == "DELETE" else None
            notices_: list[tuple[str, str]] = []
            bring_back_keys(replace(repository._context, store=proxied), notices_)
            ((code, text),) = notices_
            assert "KEYS_FEW" == code and "hidden under a delete marker" in text
            assert "xenkeep repo key add" in text
        assert () == repository.verify(full=False).findings
    reopen(store, tmp_path / "other").close()


@pytest.mark.scenario(43)
@pytest.mark.parametrize(
    ("hidden", "verdict"),
    [("", Verdict.GOOD), ("points/p", Verdict.LIMITED), ("xenkeep-repository.json", Verdict.BAD)],
)
def test_a_probe_tells_of_what_is_hidden(bucket: Bucket, hidden: str, verdict: Verdict) -> None:
    for name in ("points/p", "points/q", "xenkeep-repository.json"):
        bucket.store.put(name, [b"content"])
    if hidden:
        bucket.hide(hidden)
    for store in (bucket.store, AppendOnlyStore(bucket.store)):
        told = {each.check: each for each in probe(store, os.urandom).findings}
        assert verdict == told["hidden"].verdict
        assert _is_plain(told["hidden"], hidden)


def _is_plain(finding: ProbeFinding, hidden: str) -> bool:
    words = {"": "No restore point", "points/p": "1 restore points"}.get(hidden, "The header")
    return finding.message.startswith(words)


def test_what_is_hidden_is_found_whatever_page_it_is_on(bucket: Bucket) -> None:
    names = [f"index/{number:02d}" for number in range(3 * KEYS_A_PAGE)]
    for name in names:
        bucket.store.put(name, [name.encode()])
    hidden = names[1::2]
    for name in hidden:
        bucket.hide(name, times=KEYS_A_PAGE)
    bucket.hide("index/none")
    bucket.store.put(names[0] + "0", [b"begins as another does"])
    assert hidden == [each.name for each in bucket.store.hidden("index/")]
    for name in hidden:
        with pytest.raises(NotFound):
            bucket.store.get(name)
        bucket.store.uncover(name)
    assert [] == list(bucket.store.hidden("index/"))
    assert {name: name.encode() for name in names} == {name: bucket.store.get(name) for name in names}
    with pytest.raises(NotFound):
        bucket.store.uncover("index/none")


@pytest.mark.scenario(18)
def test_whoever_may_not_list_versions_is_told_so(bucket: Bucket, moto: Moto) -> None:
    bucket.store.put("points/p", [b"content"])
    with faulty_proxy(moto.endpoint) as proxy:
        proxy.fault = lambda _, path: (403, "AccessDenied") if "versions" in path else None
        store = moto.store(bucket.name, endpoint=proxy.endpoint)
        with pytest.raises(PermissionDenied):
            next(store.hidden("points/"))
        told = {each.check: each for each in probe(store, os.urandom).findings}
    assert Verdict.LIMITED == told["hidden"].verdict
    assert "is not known" in told["hidden"].message
