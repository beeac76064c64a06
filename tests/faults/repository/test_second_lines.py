"""What protects when something else has failed already: rarely met, and each must be there when it is."""

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from services.chassis.errors import Aborted, DataLoss, FailedPrecondition
from services.mover.repository import MemoryStore, Repository
from services.mover.repository.format.names import INDEX, LEASES, PACKS, PLANS
from services.mover.repository.index import Index
from services.mover.repository.ledger import Ledger
from services.mover.repository.packreader import read_record
from services.mover.repository.plans import Plans, listed_plans, put_plan
from services.mover.repository.types import Bytes
from tests.faults.repository.faulty_store import Crash, FaultyStore
from tests.faults.repository.prunes import NOW, PATIENT
from tests.faults.repository.verbs import scene
from tests.support.waiting import PATIENCE_S
from tests.unit.repository.world import (
    KIB,
    MIB,
    OPTIONS,
    QUICK,
    add_disk,
    back_up,
    description,
    flipped,
    new_repository,
    noise,
    packs,
    reopen,
    restored,
)

A, B = noise(MIB, 7), noise(MIB, 8)


@pytest.fixture
def twins(tmp_path: Path) -> Iterator[tuple[MemoryStore, Repository, Repository]]:
    """Two movers that did not see each other stored the same content, ``d1`` and ``d2``; each has heard of
    its own packs first, and would rather delete the other's.
    """
    store = MemoryStore()
    new_repository(store, tmp_path / "made", 256 * KIB, MIB).close()
    with reopen(store, tmp_path / "one") as one, reopen(store, tmp_path / "two") as two:
        first, second = one.begin_backup("d1", options=OPTIONS), two.begin_backup("d2", options=OPTIONS)
        add_disk(first, A + B)
        add_disk(second, B + A)
        first.commit(description())
        second.commit(description())
        yield store, one, two


def require_both(repository: Repository) -> None:
    assert restored(repository, "d1") == A + B
    assert restored(repository, "d2") == B + A
    assert repository.verify(full=True).findings == ()


class Gate(FaultyStore):
    """Waits before the first change of the kind, until it may go on."""

    def __init__(self, store: MemoryStore, verb: str, prefix: str) -> None:
        super().__init__(store, fault=self._look)
        self._verb, self._prefix = verb, prefix
        self.reached, self.go = threading.Event(), threading.Event()

    def _look(self, verb: str, name: str) -> None:
        if verb == self._verb and name.startswith(self._prefix) and not self.reached.is_set():
            self.reached.set()
            assert self.go.wait(PATIENCE_S)


@pytest.mark.scenario(25)
def test_two_prunes_that_each_count_on_the_others_copy_do_not_both_delete(
    twins: tuple[MemoryStore, Repository, Repository], tmp_path: Path
) -> None:
    """Neither has heard of the other's plan when it plans; both have decided before either deletes."""
    store, one, two = twins
    for mover in (one, two):
        require_both(mover)
    planning, deleting = Gate(store, "put", PLANS), Gate(store, "delete", PACKS)
    with reopen(planning, tmp_path / "one") as first, reopen(deleting, tmp_path / "two") as second:
        pruners = [threading.Thread(target=each.prune, args=[NOW]) for each in (first, second)]
        for gate, pruner in zip((planning, deleting), pruners, strict=True):
            pruner.start()
            assert gate.reached.wait(PATIENCE_S)
        for gate, pruner in zip((planning, deleting), pruners, strict=True):
            gate.go.set()
            pruner.join(PATIENCE_S)
    with reopen(store, tmp_path / "after") as repository:
        require_both(repository)


def _beaten(store: MemoryStore) -> FaultyStore:
    """Writers show themselves whenever somebody looks at the leases."""

    def beat(verb: str, prefix: str) -> None:
        if (verb, prefix) == ("list", LEASES):
            for name in [name for name in store.objects if name.startswith(LEASES)]:
                folder, _, number = name.rpartition("/")
                store.objects[f"{folder}/{int(number) + 1:08d}"] = store.objects[name]

    return FaultyStore(store, fault=beat)


@pytest.mark.scenario(24, 37)
@pytest.mark.parametrize("harm", ["damaged", "gone", "torn"])
def test_a_pack_that_was_planned_stays_when_the_copy_that_made_it_needless_is_no_more(
    twins: tuple[MemoryStore, Repository, Repository], tmp_path: Path, harm: str
) -> None:
    store, one, two = twins
    require_both(two)
    with one.begin_backup("p", options=OPTIONS), reopen(_beaten(store), tmp_path / "one") as pruner:
        assert pruner.prune(PATIENT).waiting_packs > 0
    planned = {pack for plan in listed_plans(one._context).readable for pack in plan.packs}
    for name in packs(store, "data"):
        if bytes.fromhex(name.rpartition("/")[2]) not in planned:
            data = store.objects.pop(name)
            if harm != "gone":
                store.objects[name] = data[:9000] if harm == "torn" else flipped(data, 9000)
    if harm == "damaged":
        assert two.verify(full=True).findings
    with reopen(store, tmp_path / "two") as pruner:
        assert pruner.prune(NOW).kept_packs > 0
    with reopen(store, tmp_path / "after") as repository:
        assert (restored(repository, "d1"), restored(repository, "d2")) == (A + B, B + A)


@pytest.mark.scenario(24, 29)
def test_a_planned_pack_of_which_nobody_knows_what_it_holds_is_kept(tmp_path: Path) -> None:
    """Its index segment is lost and its directory damaged; another copy of the index may turn up."""
    store = MemoryStore()
    with new_repository(store, tmp_path / "made", 256 * KIB, MIB) as repository:
        back_up(repository, "base", A)
        name = packs(store, "data").pop()
        put_plan(repository._context, [(bytes.fromhex(name.rpartition("/")[2]), "data")])
        store.objects[name] = store.objects[name][:-80] + bytes(80)
        repository.rebuild_index()
        assert repository.damaged_packs() == 1
        assert repository.prune(NOW).kept_packs == 1
    assert name in store.objects


@pytest.mark.scenario(22, 28)
def test_a_lease_that_vanishes_while_the_commit_writes_its_last_segment_counts(tmp_path: Path) -> None:
    store = MemoryStore()

    def fault(verb: str, name: str) -> None:
        if verb == "put" and name.startswith(INDEX):
            for lease in [name for name in store.objects if name.startswith(LEASES)]:
                del store.objects[lease]

    new_repository(store, tmp_path / "made").close()
    with reopen(FaultyStore(store, fault=fault), tmp_path / "w") as writer:
        with pytest.raises(Aborted, match="taken away"):
            back_up(writer, "p", A)
        assert writer.list_points() == []


@pytest.mark.scenario(3)
def test_a_torn_pack_that_nobody_has_verified_is_not_deduplicated_against(tmp_path: Path) -> None:
    store = MemoryStore()
    with new_repository(store, tmp_path / "c", 256 * KIB, MIB) as repository:
        back_up(repository, "p", A + B)
        for name in packs(store, "data"):
            store.objects[name] = store.objects[name][: len(store.objects[name]) // 2]
        back_up(repository, "q", A + B)
        assert restored(repository, "q") == A + B


@pytest.mark.scenario(22)
def test_what_a_killed_attempt_stored_is_not_relied_on_when_it_is_planned_to_go(tmp_path: Path) -> None:
    store = MemoryStore()
    with new_repository(store, tmp_path / "c", 256 * KIB, MIB) as repository:
        back_up(repository, "p", A)
        context = repository._context
        name = packs(store, "data").pop()
        record = read_record(store, context.keys, name, store.size(name))
        empty = Index(tmp_path / "empty.sqlite")
        put_plan(context, [(record.sha256, "data")])
        for plans, stored_again in ((listed_plans(context), True), (Plans(), False)):
            ledger = Ledger(empty, store, plans, lambda pack: None)
            ledger.recovered(record)
            assert ledger.claim(record.entries[0].id) == stored_again
        empty.close()


@pytest.mark.scenario(21)
def test_a_prune_keeps_what_an_unfinished_backup_would_go_on_from(tmp_path: Path) -> None:
    store = MemoryStore()
    with new_repository(store, tmp_path / "c", 256 * KIB, MIB) as repository:
        with repository.begin_backup("p", transfer_id="t", options=OPTIONS) as session:
            add_disk(session, A + B)
            session._pipeline.drain()
            session._saver.save_all()
        assert repository.prune(NOW).revoked_points == ()
        with repository.begin_backup("p", transfer_id="t", options=OPTIONS) as session:
            add_disk(session, A + B)
            assert session.resumed_from_bytes > 0
            session.commit(description())
        assert restored(repository, "p") == A + B


@pytest.mark.scenario(23, 32)
def test_a_segment_that_a_killed_prune_had_replaced_does_not_count_again(tmp_path: Path) -> None:
    """Its successor is replaced by the next prune; nobody elsewhere takes what has gone for damage."""
    store = MemoryStore()
    store.objects = scene(tmp_path / "made")

    def die(verb: str, name: str) -> None:
        if verb == "delete" and name.startswith(INDEX):
            raise Crash

    with reopen(FaultyStore(store, fault=die), tmp_path / "doomed") as pruner, pytest.raises(Crash):
        pruner.prune(NOW)
    with reopen(store, tmp_path / "next") as pruner:
        pruner.prune(NOW)
    with reopen(store, tmp_path / "elsewhere") as repository:
        assert {pack.name for pack in repository._context.index.packs()} == set(packs(store))
        assert repository.verify(full=True).findings == ()


@pytest.mark.scenario(38)
def test_a_disk_that_shrank_is_no_increment_of_what_it_was(tmp_path: Path) -> None:
    with new_repository(MemoryStore(), tmp_path) as repository:
        back_up(repository, "p", A + B)
        with pytest.raises(FailedPrecondition, match="smaller than in the base"):
            back_up(repository, "q", A, base="p", changed=[])


@pytest.mark.scenario(8, 42)
def test_a_new_key_that_was_stored_otherwise_is_not_said_to_open(tmp_path: Path) -> None:
    """It is well-formed, and opens nothing."""

    class Lying(MemoryStore):
        def put(self, name: str, parts: Sequence[Bytes]) -> None:
            data = b"".join(parts)
            if name == "keys/other":
                at = data.index(b'"commitment":"') + 14
                data = data[:at] + (b"1" if data[at : at + 1] == b"0" else b"0") + data[at + 1 :]
            super().put(name, [data])

    with new_repository(Lying(), tmp_path) as repository, pytest.raises(DataLoss, match="does not open"):
        repository.keys.add_passphrase("other", "another passphrase", cost=QUICK)
