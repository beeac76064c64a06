"""What no point needs goes, what any point needs stays, and what was deleted by mistake comes back."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from services.chassis.errors import Aborted, AlreadyExists, Cancelled, FailedPrecondition, NotFound
from services.mover.repository import (
    BackupOptions,
    MemoryStore,
    PruneOptions,
    Repository,
    create_repository,
    open_repository,
)
from services.mover.repository.format.names import PLANS, TRASH
from services.mover.repository.leases import take_lease
from services.mover.repository.leasewatch import remove_leases, revoke
from services.mover.repository.pruning import prune
from services.mover.repository.pruning.liveset import LiveSet
from tests.unit.repository.world import (
    BLOCK,
    KIB,
    MIB,
    NOW,
    OPTIONS,
    PASSPHRASE,
    QUICK,
    add_disk,
    back_up,
    description,
    flipped,
    noise,
    overwritten,
    restored,
)

A, B = noise(3 * MIB, 1), noise(3 * MIB, 2)


@dataclass
class Clock:
    """Time stands still until somebody moves it."""

    time: datetime = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return self.time.timestamp()


class Place:
    """A repository in memory, its clock, and how many packs it holds."""

    def __init__(self, folder: Path) -> None:
        self.store = MemoryStore()
        self.clock = Clock()
        self.folder = folder
        self.repository, _ = create_repository(
            self.store,
            PASSPHRASE,
            folder / "here",
            chunk_bytes=256 * KIB,
            pack_bytes=MIB,
            cost=QUICK,
            time=self.clock,
        )

    def elsewhere(self) -> Repository:
        """The same repository as another mover has it open."""
        return open_repository(self.store, PASSPHRASE, self.folder / "elsewhere", time=self.clock)

    def names(self, prefix: str) -> set[str]:
        return {name for name in self.store.objects if name.startswith(prefix)}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    with place.repository:
        yield place


def test_what_only_a_deleted_point_needed_is_gone_and_the_rest_is_whole(place: Place) -> None:
    repository = place.repository
    back_up(repository, "a", A)
    only_a = place.names("packs/")
    back_up(repository, "b", B)
    repository.delete_point("a", keep=0)
    report = repository.prune(NOW)
    assert (report.deleted_packs, report.purged_points) == (len(only_a), ("a",))
    assert not place.names("packs/") & only_a
    assert restored(repository, "b") == B
    assert repository.verify(full=True).findings == ()
    assert repository.statistics().packs == len(place.names("packs/"))
    assert not place.names(PLANS) and not place.names("leases/") and not place.names("trash/")
    with place.elsewhere() as other:
        assert restored(other, "b") == B
        assert other.verify(full=True).findings == ()


def test_a_dry_run_foretells_and_writes_nothing(place: Place) -> None:
    back_up(place.repository, "a", A)
    back_up(place.repository, "b", B)
    place.repository.delete_point("a")
    before = dict(place.store.objects)
    foretold = place.repository.prune(PruneOptions(dry_run=True, grace_seconds=0))
    assert place.store.objects == before
    report = place.repository.prune(NOW)
    assert (foretold.deleted_packs, foretold.deleted_bytes, foretold.purged_points) == (
        report.deleted_packs,
        report.deleted_bytes,
        report.purged_points,
    )


def test_shared_content_of_a_chain_survives_its_deleted_beginning(place: Place) -> None:
    content, points = A, {"p0": A}
    back_up(place.repository, "p0", A)
    for n in range(1, 6):
        content = overwritten(content, {n * 5 * BLOCK: noise(BLOCK, 10 + n)})
        back_up(place.repository, f"p{n}", content, base=f"p{n - 1}", changed=[(n * 5 * BLOCK, BLOCK)])
        points[f"p{n}"] = content
    for gone in ("p0", "p2", "p4"):
        place.repository.delete_point(gone)
        place.repository.prune(NOW)
        del points[gone]
        for point, expected in points.items():
            assert restored(place.repository, point) == expected
    assert place.repository.verify(full=True).findings == ()
    back_up(place.repository, "next", content, base="p5", changed=[])
    assert restored(place.repository, "next") == content


def test_a_prune_of_nothing_does_nothing(place: Place) -> None:
    back_up(place.repository, "a", A)
    place.repository.prune(NOW)
    before = dict(place.store.objects)
    report = place.repository.prune(NOW)
    assert (report.deleted_packs, report.kept_packs, place.store.objects) == (0, 0, before)


def test_packs_with_little_content_are_stored_again(place: Place) -> None:
    much = noise(6 * MIB, 4)
    kept = much[: 256 * KIB]
    back_up(place.repository, "much", much)
    back_up(place.repository, "little", kept)
    place.repository.delete_point("much")
    report = place.repository.prune(NOW)
    assert report.repacked_packs == 1
    assert 256 * KIB < report.stored_bytes < 300 * KIB
    assert sum(len(place.store.objects[name]) for name in place.names("packs/data/")) < 300 * KIB
    assert restored(place.repository, "little") == kept
    assert place.repository.verify(full=True).findings == ()
    with place.elsewhere() as other:
        assert restored(other, "little") == kept


def test_streams_and_documents_are_kept_and_deleted_with_their_points(place: Place) -> None:
    for point, seed in (("a", 1), ("b", 2)):
        with place.repository.begin_backup(point, options=OPTIONS) as session:
            session.stream("vm-configuration", [f"<vm {point}/>".encode()])
            session.stream("memory", [noise(5 * MIB, seed)], "memory")
            session.commit(description())
    place.repository.delete_point("a")
    assert place.repository.prune(NOW).deleted_bytes > 5 * MIB
    assert b"".join(place.repository.read_stream("b", "memory")) == noise(5 * MIB, 2)
    assert b"".join(place.repository.read_stream("b", "vm-configuration")) == b"<vm b/>"


def test_a_deleted_point_stays_until_its_grace_is_over_and_can_be_taken_back(place: Place) -> None:
    repository = place.repository
    back_up(repository, "a", A)
    back_up(repository, "b", B)
    repository.delete_point("a")
    assert repository.list_points() == ["b"]
    assert [copy.point_id for copy in repository.list_trash()] == ["a"]
    week = PruneOptions(patience_seconds=0)
    place.clock.time += timedelta(days=6)
    assert repository.prune(week).deleted_packs == 0
    repository.undelete_point("a")
    assert repository.list_points() == ["a", "b"]
    assert restored(repository, "a") == A
    assert not place.names("trash/") and not place.names("leases/")
    repository.delete_point("a")
    place.clock.time += timedelta(days=7)
    assert repository.prune(week).purged_points == ("a",)
    with pytest.raises(NotFound, match="not in the trash"):
        repository.undelete_point("a")
    assert not place.names("leases/")


def test_the_id_of_a_point_in_the_trash_is_taken(place: Place) -> None:
    back_up(place.repository, "a", A)
    place.repository.delete_point("a", keep=0)
    with pytest.raises(AlreadyExists, match="in the trash"):
        back_up(place.repository, "a", B)


def test_the_last_good_points_of_an_asset_are_not_deleted(place: Place) -> None:
    repository = place.repository
    with repository.begin_backup("other", options=OPTIONS) as session:
        add_disk(session, B)
        session.commit(description(asset={"id": "vm-2", "name": "another"}))
    back_up(repository, "a1", A)
    back_up(repository, "a2", overwritten(A, {0: noise(BLOCK, 5)}))
    with pytest.raises(FailedPrecondition, match="last 2 good points"):
        repository.delete_point("a1", keep=2)
    repository.delete_point("a1")
    with pytest.raises(FailedPrecondition, match="last 1 good point"):
        repository.delete_point("a2")
    with pytest.raises(NotFound):
        repository.delete_point("a1")
    repository.delete_point("a2", keep=0, purge=True)
    assert repository.list_points() == ["other"]
    assert [copy.point_id for copy in repository.list_trash()] == ["a1"]


def test_a_damaged_point_does_not_count_among_the_good_ones(place: Place) -> None:
    repository = place.repository
    back_up(repository, "whole", A)
    whole = place.names("packs/data/")
    back_up(repository, "broken", B)
    broken = min(place.names("packs/data/") - whole)
    place.store.objects[broken] = flipped(place.store.objects[broken], 300)
    assert repository.verify(full=True).damaged_points == ("broken",)
    with pytest.raises(FailedPrecondition, match="last 1 good point"):
        repository.delete_point("whole")
    repository.delete_point("broken")


def test_what_a_damaged_map_needs_is_not_guessed(place: Place) -> None:
    repository = place.repository
    back_up(repository, "a", A)
    pages = place.names("packs/meta/")
    back_up(repository, "b", B)
    for name in pages:
        del place.store.objects[name]
    packs = place.names("packs/")
    with pytest.raises(FailedPrecondition, match="What point a needs cannot be known"):
        repository.prune(NOW)
    assert place.names("packs/") == packs
    repository.delete_point("a", keep=0, purge=True)
    assert repository.prune(NOW).deleted_packs > 0
    assert restored(repository, "b") == B


def test_a_damaged_point_in_the_trash_does_not_stop_a_prune(place: Place) -> None:
    repository = place.repository
    back_up(repository, "a", A)
    pages = place.names("packs/meta/")
    back_up(repository, "b", B)
    repository.delete_point("a")
    for name in pages:
        del place.store.objects[name]
    report = repository.prune(PruneOptions(patience_seconds=0))
    assert "TRASH_DAMAGED" in [code for code, _ in report.notices]
    assert restored(repository, "b") == B


def test_taking_a_point_back_can_be_repeated_after_it_died(place: Place) -> None:
    back_up(place.repository, "a", A)
    back_up(place.repository, "b", B)
    place.repository.delete_point("a")
    take_lease(place.repository._context, "a")  # whoever took it back was killed here,
    assert revoke(place.repository._context, "a")  # and somebody who pruned took it for dead
    assert place.repository.list_points() == ["b"]
    place.repository.undelete_point("a")
    assert restored(place.repository, "a") == A
    assert place.repository.list_points() == ["a", "b"]


def test_a_point_is_not_taken_back_by_whoever_lost_the_right_to(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    back_up(place.repository, "a", A)
    back_up(place.repository, "b", B)
    place.repository.delete_point("a")
    context = place.repository._context
    read = place.store.get

    def reading(name: str, offset: int = 0, length: int | None = None) -> bytes:
        if name.startswith(TRASH):  # it takes long, and somebody who prunes takes this one for dead
            remove_leases(context, "a")
        return read(name, offset, length)

    monkeypatch.setattr(place.store, "get", reading)
    with pytest.raises(Aborted, match="The right to make point a was taken away"):
        place.repository.undelete_point("a")
    monkeypatch.undo()
    assert place.repository.list_points() == ["b"]
    place.repository.undelete_point("a")
    assert restored(place.repository, "a") == A


def test_a_cancelled_prune_goes_on_next_time(place: Place) -> None:
    back_up(place.repository, "a", A)
    back_up(place.repository, "b", B)
    place.repository.delete_point("a")
    cancel = threading.Event()

    def listener(activity: str, total: int, done: int) -> None:
        if done:
            cancel.set()

    with pytest.raises(Cancelled, match="The prune was cancelled"):
        place.repository.prune(
            PruneOptions(grace_seconds=0, patience_seconds=0, workers=1), listener=listener, cancel=cancel
        )
    assert place.names(PLANS)
    assert restored(place.repository, "b") == B
    report = place.repository.prune(NOW)
    assert report.deleted_packs > 0
    assert not place.names(PLANS)
    assert place.repository.verify(full=True).findings == ()


def test_packs_that_no_segment_lists_are_indexed_if_needed_and_deleted_if_not(place: Place) -> None:
    back_up(place.repository, "a", A)
    with place.elsewhere() as other:
        back_up(other, "b", B)
    for name in place.names("index/"):
        del place.store.objects[name]
    with place.elsewhere() as other:
        back_up(other, "unfinished", noise(MIB, 3))
        del place.store.objects["points/unfinished"]
        for name in place.names("index/"):
            del place.store.objects[name]
    with open_repository(place.store, PASSPHRASE, place.folder / "third", time=place.clock) as third:
        assert third.statistics().packs == 0
        with pytest.raises(FailedPrecondition):
            third.prune(NOW)  # not even the maps are found
        third.rebuild_index()
        assert third.prune(NOW).deleted_bytes > MIB
        assert (restored(third, "a"), restored(third, "b")) == (A, B)


def test_an_aborted_backup_leaves_packs_that_the_next_one_finds(place: Place) -> None:
    with pytest.raises(RuntimeError, match="changed"), place.repository.begin_backup("a") as session:
        add_disk(session, A)
        session._pipeline.drain()
        raise RuntimeError("somebody changed their mind")
    assert not place.names("leases/")
    point = back_up(place.repository, "a", A, options=BackupOptions(workers=1))
    assert point.statistics["new_bytes"] < 100 * KIB


def test_what_an_aborted_backup_left_is_deleted_when_nobody_needs_it(place: Place) -> None:
    with place.repository.begin_backup("a") as session:
        add_disk(session, A)
        session._pipeline.drain()
    report = place.repository.prune(NOW)
    assert report.deleted_bytes > 3 * MIB
    assert not place.names("packs/")


def test_the_live_set_forgets_nothing_and_imagines_little() -> None:
    live = LiveSet(20_000)
    ids = [noise(32, n) for n in range(30_000)]
    for id_ in ids[:20_000]:
        live.add(id_)
    assert all(id_ in live for id_ in ids[:20_000])
    assert sum(id_ in live for id_ in ids[20_000:]) < 20


def small_points(place: Place, many: int) -> dict[str, bytes]:
    """A full and so many incrementals of one block; contents by point."""
    points = {"p0": A}
    back_up(place.repository, "p0", A)
    for n in range(1, many + 1):
        content = overwritten(points[f"p{n - 1}"], {n % 40 * BLOCK: noise(BLOCK, 100 + n)})
        changed = [(n % 40 * BLOCK, BLOCK)]
        back_up(place.repository, f"p{n}", content, base=f"p{n - 1}", changed=changed)
        points[f"p{n}"] = content
    return points


def test_small_packs_are_merged_once(place: Place) -> None:
    points = small_points(place, 70)
    before = place.names("packs/")
    foretold = place.repository.prune(PruneOptions(dry_run=True, grace_seconds=0))
    report = place.repository.prune(NOW)
    assert report.repacked_packs == report.deleted_packs == foretold.repacked_packs > 100
    after = place.names("packs/")
    assert len(after) < len(before) - 95
    assert {name: restored(place.repository, name) for name in points} == points
    assert place.repository.verify(full=True).findings == ()
    assert place.repository.statistics().packs == len(after)
    assert place.repository.prune(NOW).repacked_packs == 0
    assert place.names("packs/") == after
    with place.elsewhere() as other:
        assert restored(other, "p70") == points["p70"]


def test_a_few_small_packs_are_left_alone(place: Place) -> None:
    small_points(place, 4)
    before = dict(place.store.objects)
    assert place.repository.prune(NOW).repacked_packs == 0
    assert {name for name in before if name.startswith("packs/")} == place.names("packs/")


def test_a_merge_keeps_to_its_budget(place: Place) -> None:
    small_points(place, 40)
    report = place.repository.prune(replace(NOW, repack_bytes=600 * KIB))
    assert 512 * KIB < report.stored_bytes <= 600 * KIB
    assert place.repository.prune(replace(NOW, merge=False)).repacked_packs == 0
    assert place.repository.prune(NOW).stored_bytes > 600 * KIB


def test_unlimited_plans_are_cut(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prune, "_PLANNED_PACKS", 2)
    back_up(place.repository, "a", A)
    back_up(place.repository, "b", B)
    place.repository.delete_point("a")
    report = place.repository.prune(NOW)
    assert report.deleted_packs > 3
    assert restored(place.repository, "b") == B
    assert place.repository.verify(full=True).findings == ()
    assert not place.names(PLANS)
