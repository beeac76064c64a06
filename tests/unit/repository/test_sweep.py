"""Carrying a plan out: a copy elsewhere makes a pack superfluous only if it is whole, there, and stays."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from services.mover.repository import MemoryStore, Repository
from services.mover.repository.format.names import PACKS, pack_name, parse_pack_name
from services.mover.repository.format.plan import Plan
from services.mover.repository.index import PackInfo
from services.mover.repository.indexing import records_of, sync_index
from services.mover.repository.plans import put_plan
from services.mover.repository.pruning.liveset import LiveSet
from services.mover.repository.pruning.sweeping import Sweep
from tests.unit.repository.world import MIB, OPTIONS, add_disk, description, new_repository, noise, reopen

A = noise(2 * MIB, 1)
STRANGER = pack_name("data", bytes([7]) * 32)


class Twins:
    """A repository that holds everything twice: two movers stored it at one moment. All of it is needed."""

    def __init__(self, folder: Path) -> None:
        self.store = MemoryStore()
        self.repository = new_repository(self.store, folder / "here")
        with reopen(self.store, folder / "there") as other:
            self.packs = dict(zip("ab", self._backed_up(self.repository, other), strict=True))
        self.context = self.repository._context
        sync_index(self.context)

    def plan(self, packs: list[str]) -> Plan:
        return put_plan(self.context, [(pack.sha256, pack.kind) for pack in map(self.info, packs)])

    def info(self, name: str) -> PackInfo:
        parsed = parse_pack_name(name)
        assert parsed is not None
        return PackInfo(parsed[1], parsed[0], len(self.store.objects[name]), 1, b"")

    def kept(self, plan: Plan) -> int:
        live = LiveSet(1000)
        for record in records_of(
            self.context, {self.info(n).sha256: self.info(n).kind for n in self.packs["a"]}
        ):
            for entry in record.entries:
                live.add(entry.id)
        return Sweep(self.context, plan, live, lambda: None, lambda _: None).run(1)

    def _backed_up(self, one: Repository, other: Repository) -> Iterator[list[str]]:
        with one.begin_backup("a", options=OPTIONS) as a, other.begin_backup("b", options=OPTIONS) as b:
            for session in (a, b):
                before = self._names()
                add_disk(session, A)
                session.commit(description())
                yield sorted(self._names() - before)

    def _names(self) -> set[str]:
        return {name for name in self.store.objects if name.startswith(PACKS)}


@pytest.fixture
def twins(tmp_path: Path) -> Iterator[Twins]:
    twins = Twins(tmp_path)
    with twins.repository:
        yield twins


def test_what_has_another_copy_goes(twins: Twins) -> None:
    plan = twins.plan(twins.packs["a"])
    assert 0 == twins.kept(plan)
    assert not set(twins.packs["a"]) & set(twins.store.objects)
    assert set(twins.packs["b"]) <= set(twins.store.objects)
    assert plan.name not in twins.store.objects


def _damaged(twins: Twins) -> None:
    for name in twins.packs["b"]:
        twins.context.index.add_damaged(twins.info(name).sha256)


def _torn(twins: Twins) -> None:
    for name in twins.packs["b"]:
        twins.store.objects[name] = twins.store.objects[name][:-1]


def _gone(twins: Twins) -> None:
    for name in twins.packs["b"]:
        del twins.store.objects[name]


def _planned(twins: Twins) -> None:
    twins.plan(twins.packs["b"])


@pytest.mark.parametrize("what_of_the_other", [_damaged, _torn, _gone, _planned])
def test_the_last_good_copy_stays(twins: Twins, what_of_the_other: Callable[[Twins], None]) -> None:
    plan = twins.plan(twins.packs["a"])
    what_of_the_other(twins)
    assert len(twins.packs["a"]) == twins.kept(plan)
    assert set(twins.packs["a"]) <= set(twins.store.objects)


def test_two_copies_in_one_plan_do_not_make_each_other_superfluous(twins: Twins) -> None:
    """Somebody else who carried it out too has removed the plan meanwhile."""
    plan = twins.plan(twins.packs["a"] + twins.packs["b"])
    del twins.store.objects[plan.name]
    assert len(plan.packs) == twins.kept(plan)
    assert set(twins.packs["a"] + twins.packs["b"]) <= set(twins.store.objects)


def test_a_pack_nobody_knows_the_content_of_stays(twins: Twins) -> None:
    twins.store.objects[STRANGER] = b"no directory can be read in this"
    assert 1 == twins.kept(twins.plan([STRANGER]))
    assert STRANGER in twins.store.objects
