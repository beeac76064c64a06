"""Copies: what is chosen arrives whole, sealed as it is; nothing is ever taken away from the target."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.chassis.errors import (
    Aborted,
    Cancelled,
    FailedPrecondition,
    InvalidInput,
    ResourceExhausted,
)
from services.mover.repository import CopyOptions, CopyReport, MemoryStore, Repository, Store
from services.mover.repository.copying import choosing
from services.mover.repository.copying.shipping import SMALL_BYTES
from services.mover.repository.format.names import INDEX, LEASES, PACKS, PLANS, POINTS
from tests.faults.repository.faulty_store import Crash, FaultyStore
from tests.support.injections import Injections
from tests.unit.repository.world import (
    BLOCK,
    KIB,
    MIB,
    NOW,
    OPTIONS,
    QUICK,
    add_disk,
    back_up,
    description,
    flipped,
    new_repository,
    noise,
    overwritten,
    reopen,
    restored,
)

A = noise(3 * MIB, 1)
B = overwritten(A, {BLOCK: noise(BLOCK, 2)})
C = overwritten(B, {2 * MIB: noise(MIB, 3)})


class Pair:
    """A repository and an empty place."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.here, self.there = MemoryStore("memory:here"), MemoryStore("memory:there")
        self.repository = new_repository(self.here, folder / "here", chunk_bytes=256 * KIB, pack_bytes=MIB)

    def copy(self, to: Store | None = None, options: CopyOptions | None = None) -> CopyReport:
        return self.repository.copy_to(to or self.there, self.folder / "copies", options)

    def copied(self) -> Repository:
        return reopen(self.there, self.folder / "there")

    def packs(self) -> set[str]:
        return {name for name in self.there.objects if name.startswith(PACKS)}

    def leftovers(self) -> list[str]:
        return [name for name in self.there.objects if name.startswith(LEASES)]


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    pair = Pair(tmp_path)
    with pair.repository:
        yield pair


def chain(pair: Pair) -> dict[str, bytes]:
    """A full and two incrementals."""
    back_up(pair.repository, "a", A)
    back_up(pair.repository, "b", B, base="a", changed=[(BLOCK, BLOCK)])
    back_up(pair.repository, "c", C, base="b", changed=[(2 * MIB, MIB)])
    return {"a": A, "b": B, "c": C}


def require_whole(pair: Pair, points: dict[str, bytes]) -> None:
    with pair.copied() as copy:
        assert copy.list_points() == sorted(points)
        for point, content in points.items():
            assert restored(copy, point) == content
        assert copy.verify(full=True).findings == ()


def test_a_copy_holds_every_point_under_the_same_keys(pair: Pair) -> None:
    points = chain(pair)
    with pair.repository.begin_backup("d", options=OPTIONS) as session:
        session.stream("vm-configuration", [b"<vm/>"])
        session.stream("memory", [noise(5 * MIB, 9)], "memory")
        session.commit(description())
    before = dict(pair.here.objects)
    report = pair.copy()
    assert (sorted(report.copied_points), report.known_points, report.left_points) == (list("abcd"), 0, {})
    assert report.copied_packs == len(pair.packs())
    assert report.copied_bytes == sum(len(pair.there.objects[name]) for name in pair.packs())
    assert pair.here.objects == before
    assert not pair.leftovers()
    with pair.copied() as copy:
        assert copy.repository_id == pair.repository.repository_id
        assert b"".join(copy.read_stream("d", "memory")) == noise(5 * MIB, 9)
        copy.delete_point("d", purge=True)
    require_whole(pair, points)


def test_a_copy_of_what_is_there_sends_nothing_and_of_more_sends_the_difference(pair: Pair) -> None:
    points = chain(pair)
    pair.copy()
    before = dict(pair.there.objects)
    report = pair.copy()
    assert (report.copied_packs, report.found_packs, report.known_points) == (0, 0, 3)
    assert pair.there.objects == before
    points["d"] = overwritten(C, {0: noise(BLOCK, 7)})
    back_up(pair.repository, "d", points["d"], base="c", changed=[(0, BLOCK)])
    report = pair.copy()
    assert report.copied_points == ["d"]
    assert report.copied_bytes < 300 * KIB
    require_whole(pair, points)


def test_what_is_deleted_and_pruned_here_stays_there(pair: Pair) -> None:
    points = chain(pair)
    pair.copy()
    for gone in ("a", "b"):
        pair.repository.delete_point(gone)
    pair.repository.prune(NOW)
    assert "prune" in {name.rpartition(".")[2] for name in pair.here.objects if name.startswith("features/")}
    points["d"] = overwritten(C, {MIB: noise(BLOCK, 8)})
    back_up(pair.repository, "d", points["d"], base="c", changed=[(MIB, BLOCK)])
    assert pair.copy().copied_points == ["d"]
    require_whole(pair, points)


def test_what_was_deleted_before_is_not_copied(pair: Pair) -> None:
    chain(pair)
    pair.repository.delete_point("a")
    assert sorted(pair.copy().copied_points) == ["b", "c"]
    require_whole(pair, {"b": B, "c": C})


def test_points_are_chosen_by_asset_age_and_number(pair: Pair) -> None:
    for number, (vm, day) in enumerate([("1", 1), ("1", 2), ("2", 2), ("2", 3)]):
        with pair.repository.begin_backup(f"p{number}", options=OPTIONS) as session:
            add_disk(session, noise(MIB, 20 + number))
            asset = {"id": f"vm-{vm}", "name": f"VM {vm}"}
            session.commit(description(asset=asset, snapshot_time=f"2026-01-0{day}T00:00:00Z"))
    for options, expected in (
        (CopyOptions(assets=frozenset({"VM 1"})), ["p0", "p1"]),
        (CopyOptions(assets=frozenset({"vm-2", "nobody"})), ["p2", "p3"]),
        (CopyOptions(since="2026-01-02T00:00:00Z"), ["p1", "p2", "p3"]),
        (CopyOptions(newest=1), ["p1", "p3"]),
        (CopyOptions(newest=1, since="2026-01-03T00:00:00Z"), ["p3"]),
        (CopyOptions(assets=frozenset({"nobody"})), []),
    ):
        there = MemoryStore(f"memory:{expected}{options}")
        assert sorted(pair.copy(there, options).copied_points) == expected
        data = sum(len(data) for name, data in there.objects.items() if name.startswith("packs/data/"))
        assert data < (len(expected) + 0.1) * MIB
        with reopen(there, pair.folder / f"{hash(options)}") as copy:
            assert copy.list_points() == expected
            assert copy.verify(full=True).findings == ()
    assert pair.copy(options=CopyOptions(newest=1)).copied_points
    assert sorted(pair.copy().copied_points) == ["p0", "p2"]
    require_whole(pair, {f"p{number}": noise(MIB, 20 + number) for number in range(4)})


def test_another_repository_something_else_and_itself_are_refused_unchanged(pair: Pair) -> None:
    chain(pair)
    other = MemoryStore("memory:other")
    new_repository(other, pair.folder / "other").close()
    foreign = MemoryStore("memory:foreign")
    foreign.objects["letters.txt"] = b"dear"
    halfway = MemoryStore("memory:halfway")
    halfway.objects |= {name: data for name, data in other.objects.items() if name.startswith("keys/")}
    for store, reason in (
        (other, "COPY_TARGET_TAKEN"),
        (foreign, "STORE_NOT_EMPTY"),
        (halfway, "STORE_NOT_EMPTY"),
    ):
        before = dict(store.objects)
        with pytest.raises(FailedPrecondition) as refused:
            pair.copy(store)
        assert refused.value.reason == reason
        assert store.objects == before
    with pytest.raises(InvalidInput, match="itself"):
        pair.copy(pair.here)


@pytest.mark.scenario(46)
def test_a_copy_killed_at_any_step_leaves_whole_points_and_the_next_goes_on(
    pair: Pair, injections: Injections
) -> None:
    points = chain(pair)
    whole = FaultyStore(MemoryStore("memory:whole"))
    pair.copy(whole)
    assert len(whole.steps) > 20
    for step in range(len(whole.steps)):
        with injections.one():
            pair.there = MemoryStore(f"memory:{step}")
            with pytest.raises(Crash):
                pair.copy(FaultyStore(pair.there, crash_at=step))
            if "xenkeep-repository.json" in pair.there.objects:
                with reopen(pair.there, pair.folder / f"look-{step}") as copy:
                    for point in copy.list_points():
                        assert restored(copy, point) == points[point]
            report = pair.copy()
            assert report.left_points == {}
            with reopen(pair.there, pair.folder / f"then-{step}") as copy:
                assert {point: restored(copy, point) for point in copy.list_points()} == points
                assert copy.verify(full=True).findings == ()
            assert not pair.leftovers()


def test_a_cancelled_copy_sends_nothing_twice(pair: Pair) -> None:
    points = chain(pair)
    cancel = threading.Event()

    def listen(_activity: str, _total: int, sent: int, _found: int) -> None:
        if sent:
            cancel.set()

    with pytest.raises(Cancelled):
        pair.repository.copy_to(
            pair.there, pair.folder / "copies", CopyOptions(streams=1), listener=listen, cancel=cancel
        )
    sent = len(pair.packs())
    assert sent and not pair.leftovers()
    report = pair.copy()
    assert report.found_packs == sent
    assert report.copied_packs == len(pair.packs()) - sent
    require_whole(pair, points)


@pytest.mark.scenario(46)
def test_a_full_target_is_told_and_the_next_copy_goes_on_when_there_is_room(pair: Pair) -> None:
    points = chain(pair)
    full = True

    def fault(verb: str, name: str) -> None:
        if full and verb == "put" and name.startswith(PACKS) and len(pair.packs()) >= 2:
            raise ResourceExhausted("The disk is full.", reason="STORE_FULL")

    store = FaultyStore(pair.there, fault=fault)
    with pytest.raises(ResourceExhausted):
        pair.copy(store)
    with pair.copied() as copy:
        assert copy.list_points() == []
    full = False
    pair.copy(store)
    require_whole(pair, points)


@pytest.mark.parametrize("streams", [1, 3])
def test_large_packs_go_as_many_at_a_time_as_asked_and_none_after_one_that_failed(
    tmp_path: Path, streams: int
) -> None:
    here, there = MemoryStore("memory:here"), MemoryStore("memory:there")
    content, begun = noise(12 * MIB, 60), list[str]()
    lock, all_begun = threading.Lock(), threading.Barrier(streams, timeout=60)

    def is_large(name: str) -> bool:
        return name.startswith(PACKS) and len(here.objects[name]) > SMALL_BYTES

    def fault(verb: str, name: str) -> None:
        if verb == "put" and is_large(name):
            with lock:
                begun.append(name)
            all_begun.wait()
            raise ResourceExhausted("The disk is full.", reason="STORE_FULL")

    with new_repository(here, tmp_path / "here", MIB, 2 * MIB) as repository:
        back_up(repository, "a", content)
        assert len([name for name in here.objects if is_large(name)]) > streams
        with pytest.raises(ResourceExhausted):
            repository.copy_to(
                FaultyStore(there, fault=fault), tmp_path / "copies", CopyOptions(streams=streams)
            )
        assert streams == len(begun)
        repository.copy_to(there, tmp_path / "copies")
    with reopen(there, tmp_path / "there") as copy:
        assert content == restored(copy, "a")


def test_a_damaged_pack_leaves_its_points_and_is_told(pair: Pair) -> None:
    back_up(pair.repository, "a", A)
    bad = {name for name in pair.here.objects if name.startswith("packs/data/")}
    other = noise(2 * MIB, 30)
    back_up(pair.repository, "other", other)
    name = min(bad)
    pair.here.objects[name] = flipped(pair.here.objects[name], 500)
    report = pair.copy()
    assert report.copied_points == ["other"]
    assert report.left_points.keys() == {"a"} and name in report.left_points["a"]
    assert name not in pair.packs()
    assert pair.repository.damaged_packs() == 1
    require_whole(pair, {"other": other})
    back_up(pair.repository, "again", A)  # heals: its content is stored again
    assert sorted(pair.copy().copied_points) == ["a", "again"]
    require_whole(pair, {"a": A, "again": A, "other": other})


@pytest.mark.scenario(26)
def test_a_point_deleted_while_it_is_copied_is_left_and_told(pair: Pair) -> None:
    chain(pair)

    def fault(verb: str, name: str) -> None:
        if verb == "put" and name.startswith("index/") and "points/a" in pair.here.objects:
            pair.repository.delete_point("a", purge=True)

    report = pair.copy(FaultyStore(pair.there, fault=fault))
    assert report.left_points == {"a": "It was deleted while it was copied."}
    require_whole(pair, {"b": B, "c": C})


@pytest.mark.scenario(26)
def test_packs_that_a_prune_replaces_while_they_are_copied_are_found_again(pair: Pair) -> None:
    much, little = noise(6 * MIB, 40), noise(6 * MIB, 40)[: 256 * KIB]
    back_up(pair.repository, "much", much)
    back_up(pair.repository, "little", little)
    pair.repository.delete_point("much")
    pruned = False

    def fault(verb: str, name: str) -> None:
        nonlocal pruned
        if verb == "size" and name.startswith(PACKS) and not pruned:
            pruned = True
            assert pair.repository.prune(NOW).repacked_packs == 1

    report = pair.copy(FaultyStore(pair.there, fault=fault))
    assert pruned and report.left_points == {}
    require_whole(pair, {"little": little})


def test_a_prune_of_the_copy_that_takes_us_for_dead_stops_us_and_the_next_copy_succeeds(pair: Pair) -> None:
    points = chain(pair)
    pruned = False

    def fault(verb: str, name: str) -> None:
        nonlocal pruned
        if verb == "settle" and name == INDEX and not pruned:
            pruned = True
            with pair.copied() as copy:
                copy.prune(NOW)

    with pytest.raises(Aborted) as lost:
        pair.copy(FaultyStore(pair.there, fault=fault))
    assert lost.value.reason == "COPY_LEASE_LOST"
    with pair.copied() as copy:
        assert copy.list_points() == []
        copy.prune(NOW)
    pair.copy()
    assert all(len(data) > 64 for name, data in pair.there.objects.items() if name.startswith(POINTS))
    require_whole(pair, points)


@pytest.mark.scenario(24)
def test_packs_that_a_prune_of_the_copy_deletes_before_a_lease_is_there_are_sent_again(pair: Pair) -> None:
    back_up(pair.repository, "a", A)
    pair.copy()
    pruned = False

    def fault(verb: str, name: str) -> None:
        nonlocal pruned
        if verb == "list" and name == PLANS and not pruned:
            pruned = True
            with pair.copied() as copy:
                copy.delete_point("a", keep=0, purge=True)
                assert copy.prune(NOW).deleted_packs > 0

    back_up(pair.repository, "b", A)
    assert ["b"] == pair.copy(FaultyStore(pair.there, fault=fault)).copied_points
    assert pruned
    require_whole(pair, {"b": A})


@pytest.mark.scenario(24, 26)
def test_pages_of_a_point_that_is_deleted_and_pruned_at_the_copy_meanwhile_are_not_relied_on(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choosing, "_TOGETHER", 1)
    back_up(pair.repository, "a", A)
    back_up(pair.repository, "b", A, base="a", changed=[])
    looks = 0

    def fault(verb: str, name: str) -> None:
        nonlocal looks
        looks += verb == "list" and name == PLANS
        if looks == 3 and verb == "list" and name == PLANS:  # two for each point: the second one begins
            with pair.copied() as copy:
                copy.delete_point("a", keep=0, purge=True)
                assert copy.prune(NOW).deleted_packs > 0

    assert ["a", "b"] == pair.copy(FaultyStore(pair.there, fault=fault)).copied_points
    assert looks == 4
    require_whole(pair, {"b": A})


def test_points_are_made_together_until_they_are_many_or_large() -> None:
    small = [choosing.Chosen(f"s{number}", 1) for number in range(100)]
    large = [choosing.Chosen(f"l{number}", 3 << 30) for number in range(3)]
    assert [64, 36] == [len(some) for some in choosing.together(small)]
    assert [1, 1, 1] == [len(some) for some in choosing.together(large)]
    assert [small[0], large[0]] == next(choosing.together([small[0], *large]))
    assert [] == list(choosing.together([]))


def test_an_incremental_copy_asks_few_questions_and_most_of_them_at_once(pair: Pair) -> None:
    points = chain(pair)
    pair.copy()
    points["d"] = overwritten(C, {0: noise(BLOCK, 7)})
    back_up(pair.repository, "d", points["d"], base="c", changed=[(0, BLOCK)])
    asked: list[str] = []
    lock = threading.Lock()

    def fault(verb: str, name: str) -> None:
        with lock:
            asked.append(f"{verb} {name.rpartition('/')[0] or name}")

    pair.copy(FaultyStore(pair.there, fault=fault))
    require_whole(pair, points)
    ahead = 8 + len([name for name in pair.there.objects if name.startswith("keys/")])
    assert "get xenkeep-repository.json" in asked[:ahead]
    assert len(asked) < 40, asked


def test_a_point_in_the_trash_of_the_copy_is_not_brought_back(pair: Pair) -> None:
    chain(pair)
    pair.copy()
    with pair.copied() as copy:
        copy.delete_point("a")
    report = pair.copy()
    assert report.copied_points == [] and "trash" in report.left_points["a"]
    require_whole(pair, {"b": B, "c": C})


def test_a_new_key_goes_along_and_a_removed_one_is_told_to_open_the_copy_still(pair: Pair) -> None:
    points = chain(pair)
    pair.copy()
    pair.repository.keys.add_passphrase("passphrase-2", "another long passphrase", cost=QUICK)
    pair.repository.keys.remove_slot("passphrase-1")
    pair.repository.keys.start_epoch()
    points["d"] = noise(MIB, 50)
    back_up(pair.repository, "d", points["d"])
    report = pair.copy()
    assert [code for code, _ in report.notices] == ["COPY_HAS_OLD_KEY"]
    assert "passphrase-1" in report.notices[0][1]
    with reopen(pair.there, pair.folder / "new", "another long passphrase") as copy:
        assert restored(copy, "d") == points["d"]
    require_whole(pair, points)


def test_a_pack_of_another_size_at_the_target_is_named(pair: Pair) -> None:
    back_up(pair.repository, "a", A)
    pair.copy(options=CopyOptions(assets=frozenset({"nobody"})))
    name = min(name for name in pair.here.objects if name.startswith("packs/data/"))
    pair.there.objects[name] = b"torn"
    report = pair.copy()
    assert report.copied_points == []
    assert name in report.left_points["a"] and "damaged at memory:there" in report.left_points["a"]


def test_a_copy_of_a_copy_is_a_copy(pair: Pair) -> None:
    points = chain(pair)
    pair.copy()
    with pair.copied() as copy:
        further = MemoryStore("memory:further")
        copy.copy_to(further, pair.folder / "copies")
    pair.there = further
    require_whole(pair, points)
