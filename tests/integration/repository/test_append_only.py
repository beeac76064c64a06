"""A mover that may only add backs up; somebody else deletes and prunes."""

import os
from pathlib import Path

import pytest

from services.chassis.errors import FailedPrecondition, PermissionDenied, XenkeepError
from services.mover.adapters.stores import Stores
from services.mover.repository import DirectoryStore, PruneOptions
from services.mover.repository.probe import probe
from services.mover.repository.probing import Verdict
from tests.support.seaweed import Seaweed
from tests.unit.repository.world import (
    BLOCK,
    KIB,
    MIB,
    NOW,
    OPTIONS,
    add_disk,
    back_up,
    description,
    new_repository,
    noise,
    overwritten,
    reopen,
    restored,
)

A = noise(2 * MIB, 1)
B = overwritten(A, {BLOCK: noise(BLOCK, 2)})


@pytest.mark.scenario(18, 43)
def test_an_identity_that_may_only_add_backs_up_and_another_one_prunes(
    seaweed: Seaweed, tmp_path: Path
) -> None:
    theirs, ours = seaweed.store(tmp_path.name, "admin"), seaweed.store(tmp_path.name, "appender")
    with new_repository(theirs, tmp_path / "made", 256 * KIB, MIB):
        pass
    with reopen(ours, tmp_path / "appender") as appender:
        with appender.begin_backup("a", transfer_id="t", options=OPTIONS) as session:
            add_disk(session, A)
            session._lease.beat()
            session._lease.beat()
            session.commit(description())
        back_up(appender, "b", B, base="a", changed=[(BLOCK, BLOCK)])
        for stored in list(ours.list("")):
            with pytest.raises(PermissionDenied):
                ours.delete(stored.name)
        for purge in (False, True):
            with pytest.raises(PermissionDenied):
                appender.delete_point("a", keep=0, purge=purge)
        assert ["a", "b"] == appender.list_points()
        assert (restored(appender, "a"), restored(appender, "b")) == (A, B)
        assert appender.verify(full=True).findings == ()
        assert "LEASE_KEPT" in [code for code, _ in appender.notices]

    with reopen(theirs, tmp_path / "admin") as pruner:
        pruner.prune(PruneOptions(patience_seconds=0))
        assert [] == list(theirs.list("leases/")) == list(theirs.list("checkpoints/"))
        pruner.delete_point("a")
        pruner.prune(NOW)
        assert restored(pruner, "b") == B
        assert pruner.verify(full=True).findings == ()
    with reopen(ours, tmp_path / "appender") as appender:
        back_up(appender, "c", A, base="b", changed=[(BLOCK, BLOCK)])
        assert restored(appender, "c") == A


def test_an_identity_that_may_only_add_makes_a_repository(seaweed: Seaweed, tmp_path: Path) -> None:
    store = seaweed.store(tmp_path.name, "appender")
    with new_repository(store, tmp_path, 256 * KIB, MIB) as repository:
        back_up(repository, "a", A)
        assert restored(repository, "a") == A
    with reopen(seaweed.store(tmp_path.name), tmp_path / "admin") as repository:
        assert repository.verify(full=True).findings == ()


@pytest.mark.scenario(43)
def test_a_mover_that_is_told_to_only_add_deletes_nothing_by_command(tmp_path: Path) -> None:
    place = tmp_path / "place"
    with new_repository(DirectoryStore(place, create=True), tmp_path / "made", 256 * KIB, MIB):
        pass
    store = Stores().open(f"{place.as_uri()}?mode=append-only")
    with reopen(store, tmp_path / "cache") as repository:
        back_up(repository, "a", A)
        back_up(repository, "b", B, base="a", changed=[(BLOCK, BLOCK)])
        before = {stored.name for stored in store.list("")}
        with pytest.raises(FailedPrecondition, match="only adds"):
            repository.delete_point("a", purge=True)
        with pytest.raises(FailedPrecondition, match="only adds"):
            repository.undelete_point("a")
        with pytest.raises(FailedPrecondition, match="only adds"):
            repository.prune(NOW)
        with pytest.raises(PermissionDenied):
            store.delete("keys/recovery-1")
        repository.prune(PruneOptions(dry_run=True))
        assert before <= {stored.name for stored in store.list("")}
        assert (restored(repository, "a"), restored(repository, "b")) == (A, B)
        assert repository.verify(full=True).findings == ()
    report = probe(store, os.urandom)
    assert report.usable
    assert Verdict.LIMITED is next(each.verdict for each in report.findings if each.check == "delete")


def test_the_mode_is_part_of_the_url(tmp_path: Path) -> None:
    stores = Stores()
    written = f"{tmp_path.as_uri()}?mode=append-only"
    assert (
        written == stores.location(written) == stores.location(f"{tmp_path.as_uri()}/x/..?mode=append-only")
    )
    s3 = "s3://bucket/a?credentials=mine&lock=30d&region=eu-1&mode=append-only"
    assert (
        s3
        == stores.location(s3)
        == stores.location("s3://bucket/a/?mode=append-only&lock=30d&credentials=mine&region=eu-1")
    )
    for wrong in ("?mode=read-only", "?lock=30d", "?mode=append-only&mode=x"):
        with pytest.raises(XenkeepError):
            stores.location(f"{tmp_path.as_uri()}{wrong}")
