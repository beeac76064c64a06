"""Pruning while others write, prune, restore, die: no point that was acknowledged is lost."""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from services.chassis.errors import (
    Aborted,
    DataLoss,
    FailedPrecondition,
    PermissionDenied,
    ResourceExhausted,
    Unavailable,
)
from services.mover.repository import (
    DirectoryStore,
    MemoryStore,
    PruneOptions,
    Repository,
    RestoreOptions,
    RestorePoint,
    Store,
    StoredObject,
)
from services.mover.repository.format.names import BALLAST, INDEX, LEASES, PACKS, PLANS
from services.mover.repository.types import Bytes
from tests.faults.repository.dying import die_at_system_call
from tests.faults.repository.faulty_store import Crash, FaultyStore
from tests.faults.repository.prunes import NOW, PATIENT
from tests.support.forking import fork
from tests.support.injections import Injections
from tests.support.scenarios import THOROUGH
from tests.unit.repository.world import (
    BLOCK,
    KIB,
    MIB,
    OPTIONS,
    MemoryTarget,
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

OLD = noise(3 * MIB, 1)
KEPT = OLD[: 256 * KIB] + noise(MIB, 2)
NEXT = overwritten(KEPT, {5 * BLOCK: noise(BLOCK, 3)})
CHANGED = [(5 * BLOCK, BLOCK)]


def copy_of(store: MemoryStore) -> MemoryStore:
    copy = MemoryStore()
    copy.objects = dict(store.objects)
    return copy


def names(store: MemoryStore, prefix: str) -> set[str]:
    return {name for name in store.objects if name.startswith(prefix)}


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> MemoryStore:
    """Points ``kept`` and ``base``; a deleted one whose packs hold a chunk of ``kept``."""
    store = MemoryStore()
    with new_repository(store, tmp_path_factory.mktemp("cache"), 256 * KIB, MIB) as repository:
        back_up(repository, "old", OLD)
        back_up(repository, "base", KEPT)
        back_up(repository, "kept", NEXT, base="base", changed=CHANGED)
        repository.delete_point("old", purge=True)
    return store


def require_sound(repository: Repository) -> None:
    assert restored(repository, "base") == KEPT
    assert restored(repository, "kept") == NEXT


def at_step(store: Store, step: int, action: Callable[[], None]) -> FaultyStore:
    """``action`` happens once, just before the ``step``-th change of the store."""
    made = [0]

    def fault(verb: str, _name: str) -> None:
        if verb in ("put", "delete"):
            made[0] += 1
            if made[0] == step + 1:
                action()

    return FaultyStore(store, fault=fault)


def changes(store: FaultyStore) -> int:
    return sum(not step.startswith("done") for step in store.steps)


@pytest.mark.scenario(23)
def test_a_prune_killed_at_every_step_loses_nothing_and_the_next_one_finishes(
    before: MemoryStore, tmp_path: Path, injections: Injections
) -> None:
    step, finished = 0, False
    while not finished:
        store = copy_of(before)
        with reopen(FaultyStore(store, crash_at=step), tmp_path / f"doomed-{step}") as repository:
            try:
                repository.prune(NOW)
                finished = True
            except Crash:
                pass
        here = tmp_path / (f"doomed-{step}" if step % 2 else f"other-{step}")
        with reopen(store, here) as repository:
            require_sound(repository)
            back_up(repository, "more", OLD)
            repository.prune(NOW)
            require_sound(repository)
            assert restored(repository, "more") == OLD
            assert repository.verify(full=True).findings == ()
            assert repository.statistics().packs == len(names(store, PACKS))
        assert not names(store, PLANS)
        injections.held()
        step += 1
    assert step > 12


@pytest.mark.scenario(1, 23)
def test_a_process_killed_at_any_system_call_of_a_prune_loses_nothing(
    tmp_path: Path, injections: Injections
) -> None:
    with new_repository(
        DirectoryStore(tmp_path / "0", create=True), tmp_path / "c", 256 * KIB, MIB
    ) as repository:
        back_up(repository, "old", OLD)
        back_up(repository, "base", KEPT)
        back_up(repository, "kept", NEXT, base="base", changed=CHANGED)
    step, survived = 0, False
    while not survived:
        folder = tmp_path / f"store-{step}"
        shutil.copytree(tmp_path / "0", folder)
        pid = fork()
        if pid == 0:
            die_at_system_call(step)
            with reopen(DirectoryStore(folder), tmp_path / f"cache-{step}") as repository:
                repository.delete_point("old")
                repository.prune(NOW)
            os._exit(0)
        survived = os.WIFEXITED(os.waitpid(pid, 0)[1])
        with reopen(DirectoryStore(folder), tmp_path / f"cache-{step}") as repository:
            require_sound(repository)
            with contextlib.suppress(Exception):
                repository.delete_point("old")
            repository.prune(NOW)
            require_sound(repository)
            assert repository.list_points() == ["base", "kept"]
            assert repository.verify(full=True).findings == ()
        shutil.rmtree(folder)
        injections.held()
        step += 1 if THOROUGH else 7
    assert step > 20


@pytest.mark.scenario(21)
def test_a_backup_at_every_step_of_a_prune_is_whole(
    before: MemoryStore, tmp_path: Path, injections: Injections
) -> None:
    """It begins and ends within the prune, and finds much of its content in packs that are about to go."""
    step, more = 0, True
    while more:
        store = copy_of(before)
        with reopen(store, tmp_path / f"writer-{step}") as writer:

            def back_it_up(writer: Repository = writer) -> None:
                back_up(writer, "new", OLD)

            faulty = at_step(store, step, back_it_up)
            with reopen(faulty, tmp_path / f"pruner-{step}") as pruner:
                pruner.prune(NOW)
                more = changes(faulty) > step
            require_sound(writer)
            if more:
                assert restored(writer, "new") == OLD
            assert writer.verify(full=True).findings == ()
            writer.prune(NOW)
            require_sound(writer)
        injections.held()
        step += 1
    assert step > 10


@pytest.mark.scenario(21)
@pytest.mark.parametrize("alive", [True, False])
def test_a_prune_at_every_step_of_a_backup_waits_for_it_or_stops_it(
    before: MemoryStore, tmp_path: Path, alive: bool, injections: Injections
) -> None:
    mixed = OLD + noise(3 * MIB, 12)
    step, more = 0, True
    while more:
        store = copy_of(before)
        with reopen(store, tmp_path / f"pruner-{alive}-{step}") as pruner:

            def prune(pruner: Repository = pruner, store: MemoryStore = store) -> None:
                store.__class__ = Beating if alive else MemoryStore
                pruner.prune(PATIENT if alive else NOW)
                store.__class__ = MemoryStore

            faulty = at_step(store, step, prune)
            with reopen(faulty, tmp_path / f"writer-{alive}-{step}") as writer:
                acknowledged = True
                try:
                    back_up(writer, "new", mixed, base="base", changed=[(0, len(mixed))], transfer="t")
                except Aborted as error:
                    assert error.reason in ("LEASE_LOST", "POINT_REVOKED", "PACKS_VANISHED")
                    acknowledged = False
                more = changes(faulty) > step
            assert acknowledged or not alive
            require_sound(pruner)
            assert ("new" in pruner.list_points()) == acknowledged
            if acknowledged:
                assert restored(pruner, "new") == mixed
            pruner.prune(NOW)
            require_sound(pruner)
            assert pruner.verify(full=True).findings == ()
            back_up(pruner, "another", OLD)
            assert restored(pruner, "another") == OLD
        injections.held()
        step += 1
    assert step > 8


@pytest.mark.scenario(21)
def test_a_backup_by_the_same_mover_while_packs_are_listed_stays_in_the_index(
    before: MemoryStore, tmp_path: Path
) -> None:
    """It is in the local index at once, and not in the listing."""
    begun: list[RestorePoint] = []

    class Listing(FaultyStore):
        def list(self, prefix: str) -> Iterator[StoredObject]:
            found = list(super().list(prefix))
            if prefix == PACKS and not begun:
                begun.append(back_up(repository, "new", noise(MIB, 31)))
            return iter(found)

    store = copy_of(before)
    with reopen(Listing(store), tmp_path / "here") as repository:
        repository.prune(NOW)
        assert [point.point_id for point in begun] == ["new"]
        assert restored(repository, "new") == noise(MIB, 31)
    with reopen(store, tmp_path / "elsewhere") as repository:
        assert restored(repository, "new") == noise(MIB, 31)
        require_sound(repository)


class Beating(MemoryStore):
    """Writers show themselves whenever somebody looks at the leases."""

    def list(self, prefix: str) -> Iterator[StoredObject]:
        found = list(super().list(prefix))
        if prefix == LEASES:
            for stored in found:
                folder, _, number = stored.name.rpartition("/")
                self.objects[f"{folder}/{int(number) + 1:08d}"] = self.objects[stored.name]
        return iter(found)


@pytest.mark.scenario(25)
def test_two_prunes_at_every_step_of_each_other_keep_one_copy_of_everything(
    before: MemoryStore, tmp_path: Path, injections: Injections
) -> None:
    """Two movers that did not see each other stored the same content: each may prune the other's copy."""
    doubled = copy_of(before)
    with reopen(doubled, tmp_path / "one") as one, reopen(doubled, tmp_path / "two") as two:
        first = one.begin_backup("d1", options=OPTIONS)
        second = two.begin_backup("d2", options=OPTIONS)
        add_disk(first, noise(MIB, 7) + noise(MIB, 8))
        add_disk(second, noise(MIB, 8) + noise(MIB, 7))
        first.commit(description())
        second.commit(description())
    step, more = 0, True
    while more:
        store = copy_of(doubled)
        with reopen(store, tmp_path / f"b-{step}") as other:

            def prune(other: Repository = other) -> None:
                other.prune(NOW)

            faulty = at_step(store, step, prune)
            with reopen(faulty, tmp_path / f"a-{step}") as repository:
                repository.prune(NOW)
                more = changes(faulty) > step
            require_sound(other)
            assert restored(other, "d1") == noise(MIB, 7) + noise(MIB, 8)
            assert restored(other, "d2") == noise(MIB, 8) + noise(MIB, 7)
            assert other.verify(full=True).findings == ()
        injections.held()
        step += 1
    assert step > 10


@pytest.mark.scenario(22, "restic #2715")
def test_a_sleeping_writer_cannot_make_its_point_once_it_is_revoked(
    before: MemoryStore, tmp_path: Path
) -> None:
    store = copy_of(before)
    with reopen(store, tmp_path / "w") as writer, reopen(store, tmp_path / "p") as pruner:
        with writer.begin_backup("new", transfer_id="t", options=OPTIONS) as session:
            add_disk(session, OLD)  # found in packs that are about to go
            report = pruner.prune(NOW)
            assert report.revoked_points == ("new",)
            assert report.deleted_packs > 0
            with pytest.raises(Aborted, match="Nobody may make point new"):
                session.commit(description())
        assert writer.damaged_packs() == 0
        assert writer.list_points() == ["base", "kept"]
        with pytest.raises(Aborted, match="Nobody may make point new"):
            back_up(writer, "new", OLD, transfer="t")
        back_up(writer, "newer", OLD)
        assert restored(writer, "newer") == OLD
        assert pruner.verify(full=True).findings == ()
        assert pruner.list_points() == ["base", "kept", "newer"]
        pruner.prune(NOW)
        assert not names(store, LEASES)
        assert not names(store, "checkpoints/")


@pytest.mark.scenario(22)
def test_a_writer_that_commits_just_before_it_is_revoked_counts(before: MemoryStore, tmp_path: Path) -> None:
    store = copy_of(before)
    with reopen(store, tmp_path / "w") as writer, writer.begin_backup("new", options=OPTIONS) as session:
        add_disk(session, OLD)
        committed: list[RestorePoint] = []

        def fault(verb: str, name: str) -> None:
            if (verb, name) == ("put", "points/new") and not committed:
                committed.append(session.commit(description()))

        with reopen(FaultyStore(store, fault=fault), tmp_path / "p") as pruner:
            report = pruner.prune(NOW)
        assert committed and report.revoked_points == ()
        assert report.kept_packs > 0
        assert restored(writer, "new") == OLD
        assert writer.verify(full=True).findings == ()


@pytest.mark.scenario(21)
def test_a_living_writer_is_waited_for_and_its_packs_are_kept(before: MemoryStore, tmp_path: Path) -> None:
    store = copy_of(before)
    with reopen(store, tmp_path / "w") as writer, writer.begin_backup("new", options=OPTIONS) as session:
        add_disk(session, OLD)

        def fault(verb: str, name: str) -> None:
            if (verb, name) == ("list", LEASES):
                session._lease.beat()

        with reopen(FaultyStore(store, fault=fault), tmp_path / "p") as pruner:
            report = pruner.prune(PATIENT)
            assert (report.deleted_packs, report.waiting_points) == (0, ("new",))
            assert report.waiting_packs > 0
        assert names(store, PLANS)
        session.commit(description())
    with reopen(store, tmp_path / "p") as pruner:
        assert restored(pruner, "new") == OLD
        assert pruner.prune(PATIENT).kept_packs > 0
        assert restored(pruner, "new") == OLD
        assert not names(store, PLANS)


@pytest.mark.scenario(28)
def test_a_writer_whose_lease_vanished_does_not_commit(before: MemoryStore, tmp_path: Path) -> None:
    store = copy_of(before)
    with reopen(store, tmp_path / "w") as writer, writer.begin_backup("new", options=OPTIONS) as session:
        add_disk(session, noise(MIB, 9))
        for name in names(store, LEASES):
            del store.objects[name]
        with pytest.raises(Aborted, match="taken away"):
            session.commit(description())
    assert "points/new" not in store.objects


@pytest.mark.scenario(22)
def test_whoever_finds_its_next_number_taken_stops(before: MemoryStore, tmp_path: Path) -> None:
    store = copy_of(before)
    with reopen(store, tmp_path / "w") as one, reopen(store, tmp_path / "v") as two:
        first = one.begin_backup("new", transfer_id="t", options=OPTIONS)
        second = two.begin_backup("new", transfer_id="t", options=OPTIONS)
        with pytest.raises(Aborted, match="Another mover makes point new"):
            first._lease.beat()
        first.abort()
        second._lease.beat()
        add_disk(second, OLD)
        second.commit(description())
        assert restored(one, "new") == OLD
    assert not names(store, LEASES)


class AnswerLost(FaultyStore):
    """What is written or deleted below ``prefix`` is, but nobody says so, as long as ``losing``."""

    prefix, losing = LEASES, True

    def put(self, name: str, parts: Sequence[Bytes]) -> None:
        super().put(name, parts)
        self._lose(name)

    def delete(self, name: str) -> None:
        super().delete(name)
        self._lose(name)

    def _lose(self, name: str) -> None:
        if self.losing and name.startswith(self.prefix):
            raise Unavailable(f"No answer about {name}.", reason="STORE_UNREACHABLE")


@pytest.mark.scenario(9, 22)
def test_a_beat_whose_answer_is_lost_is_repeated_and_no_takeover(before: MemoryStore, tmp_path: Path) -> None:
    store = AnswerLost(copy_of(before))
    store.losing = False
    with reopen(store, tmp_path / "w") as writer, writer.begin_backup("new", options=OPTIONS) as session:
        add_disk(session, OLD)
        for losing in (True, False, True, True, False, True):
            store.losing = losing
            with pytest.raises(Unavailable) if losing else contextlib.nullcontext():
                session._lease.beat()
        session._lease.require()
        store.losing = False
        session.commit(description())
        assert restored(writer, "new") == OLD
    assert not list(store.list(LEASES))


@pytest.mark.scenario(9)
def test_who_gives_up_after_a_beat_without_an_answer_leaves_no_lease(
    before: MemoryStore, tmp_path: Path
) -> None:
    store = AnswerLost(copy_of(before))
    store.losing = False
    with reopen(store, tmp_path / "w") as writer:
        session = writer.begin_backup("new", options=OPTIONS)
        store.losing = True
        with pytest.raises(Unavailable):
            session._lease.beat()
        store.losing = False
        session.abort()
    assert not list(store.list(LEASES))


@pytest.mark.scenario(24, "kopia #1242")
def test_a_prune_with_an_old_view_of_the_index_deletes_nothing_that_is_needed(
    before: MemoryStore, tmp_path: Path
) -> None:
    store = copy_of(before)
    shown = names(store, INDEX)

    class Late(FaultyStore):
        def list(self, prefix: str) -> Iterator[StoredObject]:
            return (s for s in super().list(prefix) if prefix != INDEX or s.name in shown)

    with reopen(store, tmp_path / "w") as writer:
        back_up(writer, "new", noise(2 * MIB, 11))
        with reopen(Late(store), tmp_path / "p") as pruner, contextlib.suppress(FailedPrecondition):
            pruner.prune(NOW)
        require_sound(writer)
        assert restored(writer, "new") == noise(2 * MIB, 11)


class Crowded(MemoryStore):
    """A store with room for so many bytes."""

    room = 0

    def put(self, name: str, parts: Sequence[Bytes]) -> None:
        if sum(map(len, parts)) > (self.free_bytes() or 0):
            raise ResourceExhausted(f"No room for {name}.", reason="STORE_FULL")
        super().put(name, parts)

    def free_bytes(self) -> int | None:
        return self.room - sum(map(len, self.objects.values()))


@pytest.mark.scenario(5)
def test_points_are_deleted_and_pruned_on_a_full_disk(tmp_path: Path) -> None:
    store = Crowded()
    store.room = 64 * MIB
    with new_repository(store, tmp_path, 256 * KIB, MIB) as repository:
        back_up(repository, "old", OLD)
        back_up(repository, "base", KEPT)
        assert BALLAST in store.objects
        store.room -= store.free_bytes() or 0
        with pytest.raises(ResourceExhausted):
            back_up(repository, "more", noise(MIB, 5))
        repository.delete_point("old")
        report = repository.prune(NOW)
        assert report.deleted_bytes > MIB
        assert "BALLAST_DROPPED" in [code for code, _ in repository.notices]
        assert BALLAST in store.objects
        assert restored(repository, "base") == KEPT
        back_up(repository, "more", noise(MIB, 5))
        assert repository.verify(full=True).findings == ()


@pytest.mark.scenario(18, 29)
def test_a_store_that_refuses_deletes_loses_nothing_and_says_so(before: MemoryStore, tmp_path: Path) -> None:
    store = copy_of(before)

    def fault(verb: str, name: str) -> None:
        if verb == "delete":
            raise PermissionDenied(f"{name} may not be deleted.", reason="STORE_REFUSED")

    with reopen(FaultyStore(store, fault=fault), tmp_path / "p") as repository:
        with pytest.raises(PermissionDenied, match="may not be deleted"):
            repository.prune(NOW)
        require_sound(repository)
        back_up(repository, "new", OLD)
        assert restored(repository, "new") == OLD
    with reopen(store, tmp_path / "q") as repository:
        repository.prune(NOW)
        require_sound(repository)
        assert restored(repository, "new") == OLD
        assert not names(store, LEASES)


@pytest.mark.scenario(29, 33)
def test_a_damaged_plan_is_told_and_replaced(before: MemoryStore, tmp_path: Path) -> None:
    store = copy_of(before)
    with reopen(FaultyStore(store, crash_at=6), tmp_path / "a") as repository, contextlib.suppress(Crash):
        repository.prune(NOW)
    (plan,) = names(store, PLANS)
    store.objects[plan] = flipped(store.objects[plan], 150)
    with reopen(store, tmp_path / "b") as repository:
        point = back_up(repository, "new", KEPT)
        assert point.statistics["known_bytes"] == 0  # nothing is relied on while anything may be about to go
        assert restored(repository, "new") == KEPT
        repository.prune(NOW)
        require_sound(repository)
        assert restored(repository, "new") == KEPT
        assert not names(store, PLANS)
        assert "PRUNE_PLAN_UNREADABLE" in [code for code, _ in repository.notices]


@pytest.mark.scenario(26)
def test_a_point_deleted_while_it_is_read_is_no_damage(before: MemoryStore, tmp_path: Path) -> None:
    store = copy_of(before)
    content = noise(48 * MIB, 13)
    with reopen(store, tmp_path / "r") as reader, reopen(store, tmp_path / "p") as pruner:
        with pruner.begin_backup("new", options=OPTIONS) as session:
            add_disk(session, content)
            session.stream("dump", [content])
            session.commit(description())

        class Target(MemoryTarget):
            def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
                if not self.writes:
                    pruner.delete_point("new", purge=True)
                    pruner.prune(NOW)
                super().write(offset, data)

        parts = reader.read_stream("new", "dump")
        next(parts)
        with pytest.raises(Aborted, match="deleted while it was read"):
            reader.restore_disk("new", "d", Target(len(content)), options=RestoreOptions(workers=1))
        with pytest.raises(Aborted, match="deleted while it was read"):
            list(parts)
        assert reader.damaged_packs() == 0


@pytest.mark.scenario(26)
def test_a_restore_goes_on_when_its_packs_are_repacked_behind_its_back(
    before: MemoryStore, tmp_path: Path
) -> None:
    store = copy_of(before)
    with reopen(store, tmp_path / "r") as reader, reopen(store, tmp_path / "p") as pruner:
        assert pruner.prune(NOW).repacked_packs > 0
        assert reader.read_disk("base", "d", 0, len(KEPT)) == KEPT  # with the index of before
        assert restored(reader, "kept") == NEXT
        assert reader.damaged_packs() == 0


@pytest.mark.scenario(37)
def test_what_still_decodes_of_a_damaged_pack_is_saved_and_the_next_backup_heals_the_rest(
    before: MemoryStore, tmp_path: Path
) -> None:
    store = copy_of(before)
    content = noise(4 * MIB, 21)
    with reopen(store, tmp_path / "p") as repository:
        repository.prune(NOW)
        others = names(store, "packs/data/")
        back_up(repository, "p1", content)
        harmed = names(store, "packs/data/") - others
        for name in harmed:  # the first blob of each
            data = store.objects[name]
            store.objects[name] = flipped(data, 300)
        assert repository.verify(full=True).damaged_points == ("p1",)
        assert repository.damaged_packs() == len(harmed)
        assert 2 * MIB < repository.prune(NOW).stored_bytes < 4 * MIB
        assert repository.verify(full=True).damaged_points == ("p1",), "what is lost stays told"
        healing = back_up(repository, "p2", content)
        assert healing.statistics["new_bytes"] < 2 * MIB
        repository.prune(NOW)
        assert not names(store, PACKS) & harmed
        assert restored(repository, "p1") == restored(repository, "p2") == content
        assert repository.verify(full=True).findings == ()
        assert repository.damaged_packs() == 0
        require_sound(repository)


@pytest.mark.scenario(29)
def test_damage_that_a_prune_meets_while_repacking_costs_nothing_more(
    before: MemoryStore, tmp_path: Path
) -> None:
    store = copy_of(before)
    with reopen(store, tmp_path / "p") as repository:
        harmed = repository.prune(PruneOptions(dry_run=True)).repacked_packs
        assert harmed
        for name in names(store, "packs/data/"):
            store.objects[name] = flipped(store.objects[name], 400)
        repository.prune(NOW)
        for point, content in (("base", KEPT), ("kept", NEXT)):
            with contextlib.suppress(DataLoss):
                assert restored(repository, point) == content
        assert set(repository.verify(full=True).damaged_points) <= {"base", "kept"}
