"""What a prune meets that somebody else left, is doing, or has lost."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from services.chassis.errors import NotFound
from services.mover.repository import PruneOptions, open_repository
from services.mover.repository.plans import put_plan
from tests.faults.repository.faulty_store import FaultyStore
from tests.unit.repository.test_prune import A, B, Place
from tests.unit.repository.world import NOW, OPTIONS, PASSPHRASE, add_disk, back_up, description, restored

LISTS_LATE = replace(OPTIONS, checkpoint_seconds=3600)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    with place.repository:
        yield place


def test_what_a_backup_under_way_has_stored_and_not_listed_is_left_to_it(place: Place) -> None:
    """And nobody is waited for, or loses a right, on account of it."""
    back_up(place.repository, "a", A)
    with place.elsewhere() as other, other.begin_backup("b", options=LISTS_LATE) as session:
        add_disk(session, B)
        session._pipeline.drain()
        packs = place.names("packs/")
        report = place.repository.prune(NOW)
        assert (0, ()) == (report.deleted_packs, report.revoked_points)
        assert packs == place.names("packs/")
        session.commit(description())
        assert restored(other, "b") == B


@pytest.mark.parametrize("harm", ["damaged", "planned by somebody else"])
def test_a_pack_that_nobody_listed_is_listed_when_it_holds_the_only_good_copy(
    place: Place, tmp_path: Path, harm: str
) -> None:
    with (
        place.elsewhere() as other,
        place.repository.begin_backup("a", options=OPTIONS) as session,
        other.begin_backup("b", options=OPTIONS) as twin,
    ):
        add_disk(session, A)
        session.commit(description())
        listed = place.names("index/")
        add_disk(twin, A)
        twin.commit(description())
        for name in place.names("index/") - listed:
            del place.store.objects[name]
    with open_repository(place.store, PASSPHRASE, tmp_path / "third", time=place.clock) as third:
        context = third._context
        if harm == "damaged":
            for pack in list(context.index.packs()):
                context.report_damage(pack, f"{pack.name} was found damaged")
        else:
            put_plan(context, [(pack.sha256, pack.kind) for pack in context.index.packs()])
        report = third.prune(NOW)
        assert "PACKS_INDEXED" in [code for code, _ in report.notices]
        assert restored(third, "a") == restored(third, "b") == A


def test_a_point_that_was_deleted_while_its_map_was_read_blinds_no_prune(place: Place) -> None:
    """Somebody else deleted it, and has pruned already."""
    back_up(place.repository, "a", A)
    pages = place.names("packs/meta/")
    back_up(place.repository, "b", B)
    for name in pages:
        del place.store.objects[name]

    def gone(verb: str, name: str) -> None:
        if (verb, name) == ("size", "points/a"):
            raise NotFound(f"{name} does not exist.", reason="OBJECT_MISSING")

    store = FaultyStore(place.store, fault=gone)
    with open_repository(store, PASSPHRASE, place.folder / "third", time=place.clock) as third:
        third.prune(PruneOptions(dry_run=True))
        assert restored(third, "b") == B


def test_a_lost_pack_that_is_brought_back_is_whole_although_it_was_pruned_meanwhile(place: Place) -> None:
    back_up(place.repository, "a", A)
    lost = {name: place.store.objects.pop(name) for name in place.names("packs/data/")}
    report = place.repository.prune(NOW)
    assert "BLOBS_LOST" in [code for code, _ in report.notices]
    place.store.objects |= lost
    with place.elsewhere() as other:
        assert restored(other, "a") == A


def test_a_release_that_knows_no_plans_is_kept_away_from_the_first_prune_on(place: Place) -> None:
    back_up(place.repository, "a", A)
    place.repository.prune(PruneOptions(dry_run=True))
    assert not place.names("features/")
    place.repository.prune(NOW)
    assert {"features/writer.prune"} == place.names("features/")
