"""Random histories of backups, deletions, prunes, crashes, corruption, verification, rebuilding and copies
against a trivial model.

After every step each committed point restores byte-identical or is reported damaged, and the next backup
works. A copy holds every point that was ever brought there, byte-identical, whatever happens to the original.
"""

import contextlib
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from services.chassis.errors import Aborted, DataLoss, FailedPrecondition
from services.mover.repository import MemoryStore, PruneOptions, Repository
from services.mover.repository.format.names import HEADER
from tests.faults.repository.faulty_store import Crash, FaultyStore
from tests.support.scenarios import HISTORY, THOROUGH
from tests.unit.repository.world import (
    BLOCK,
    NOW,
    OPTIONS,
    PASSPHRASE,
    QUICK,
    add_disk,
    back_up,
    description,
    new_repository,
    noise,
    reopen,
    restored,
)

pytestmark = pytest.mark.scenario(HISTORY)
_BLOCKS = 16


class RepositoryHistory(RuleBasedStateMachine):
    """The model: content of each acknowledged point, and whether anything was ever harmed.

    Rules find out themselves whether there is anything to do. As a precondition that would depend on where
    among several threads a crash fell, and Hypothesis must find the same rules when it tries a history again.
    """

    @initialize()
    def create(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.store = MemoryStore()
        self.model: dict[str, bytes] = {}
        self.there = MemoryStore("memory:there")
        self.copied: dict[str, bytes] = {}
        self.content = noise(_BLOCKS * BLOCK)
        self.number = 0
        self.caches = 0
        self.harmed = False
        self.slot = "passphrase-1"
        new_repository(self.store, self._cache(), 4 * BLOCK, 8 * BLOCK).close()
        self.repository = self._open()

    def teardown(self) -> None:
        if hasattr(self, "repository"):
            self.repository.close()
            self.folder.cleanup()

    @rule(
        first=st.integers(0, _BLOCKS - 1), count=st.integers(1, 5), fill=st.integers(0, 4), full=st.booleans()
    )
    def back_up(self, first: int, count: int, fill: int, full: bool) -> None:
        changed = self._change(first, count, fill)
        self._back_up(self.repository, full, changed)

    @rule(first=st.integers(0, _BLOCKS - 1), fill=st.integers(0, 4), step=st.integers(0, 25))
    def crash(self, first: int, fill: int, step: int) -> None:
        changed = self._change(first, 2, fill)
        faulty = FaultyStore(self.store, crash_at=step)
        with contextlib.suppress(Crash), reopen(faulty, self._cache()) as doomed:
            self._back_up(doomed, False, changed)
        with self._open() as repository:
            if f"p{self.number}" in repository.list_points():
                self.model[f"p{self.number}"] = self.content
        self.number += 1

    @rule(
        which=st.integers(0, 1000),
        place=st.floats(0, 1, exclude_max=True),
        how=st.sampled_from(["flip", "delete", "truncate"]),
    )
    def harm(self, which: int, place: float, how: str) -> None:
        packs = sorted(name for name in self.store.objects if name.startswith("packs/"))
        if not packs:
            return
        name = packs[which % len(packs)]
        whole = self.store.objects[name]
        at = int(place * len(whole))
        self.harmed = True
        if how == "delete" or not whole:
            del self.store.objects[name]
        elif how == "truncate":
            self.store.objects[name] = whole[:at]
        else:
            self.store.objects[name] = whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :]

    @rule(full=st.booleans())
    def verify(self, full: bool) -> None:
        result = self.repository.verify(full=full)
        assert set(result.sound_points) | set(result.damaged_points) == set(self.model)
        assert self.harmed or result.findings == ()
        for point in result.sound_points:
            assert restored(self.repository, point) == self.model[point]

    @rule(which=st.integers(0, 1000), purge=st.booleans())
    def delete(self, which: int, purge: bool) -> None:
        if len(self.model) < 2:
            return
        point = sorted(self.model)[which % len(self.model)]
        self.repository.delete_point(point, keep=0, purge=purge)
        del self.model[point]

    @rule(grace=st.sampled_from([0.0, 1e6]))
    def prune(self, grace: float) -> None:
        self._prune(self.repository, grace)

    @rule(step=st.integers(0, 40))
    def crash_in_a_prune(self, step: int) -> None:
        with (
            contextlib.suppress(Crash),
            reopen(FaultyStore(self.store, crash_at=step), self._cache()) as doomed,
        ):
            self._prune(doomed, 0.0)

    @rule(grace=st.sampled_from([0.0, 1e6]), first=st.integers(0, _BLOCKS - 1), fill=st.integers(0, 4))
    def prune_during_a_backup(self, grace: float, first: int, fill: int) -> None:
        self._change(first, 3, fill)
        point = f"p{self.number}"
        self.number += 1
        with self._open() as writer, writer.begin_backup(point, options=OPTIONS) as session:
            add_disk(session, self.content)
            self._prune(self.repository, grace)
            try:
                session.commit(description())
            except Aborted:
                return
        self.model[point] = self.content

    @rule(step=st.none() | st.integers(0, 60))
    def copy(self, step: int | None) -> None:
        target = self.there if step is None else FaultyStore(self.there, crash_at=step)
        with contextlib.suppress(Crash):
            left = self.repository.copy_to(target, self._cache()).left_points
            assert self.harmed or not left
            assert set(self.model) <= set(self.copied) | set(left) | set(self._points_there())
        for point in set(self._points_there()) - set(self.copied):
            self.copied[point] = self.model[point]

    @rule(prune=st.booleans())
    def look_at_the_copy(self, prune: bool) -> None:
        if not self._is_copied():
            return
        with reopen(self.there, self._cache()) as copy:
            if prune:
                copy.prune(NOW)
            assert copy.list_points() == sorted(self.copied)
            for point, content in self.copied.items():
                assert restored(copy, point) == content
            assert copy.verify(full=True).findings == ()

    @rule()
    def move_to_another_machine(self) -> None:
        self.repository.close()
        self.repository = self._open()

    @rule()
    def rotate(self) -> None:
        """A new data key, and another pair of keys to the repository."""
        self.repository.keys.start_epoch()
        self.number += 1
        self.repository.keys.add_passphrase(f"s{self.number}", PASSPHRASE, cost=QUICK)
        self.repository.keys.remove_slot(self.slot)
        self.slot = f"s{self.number}"

    @rule()
    def heal(self) -> None:
        """Damage is looked for, and a full backup stores anew what of its content is lost."""
        self.repository.verify(full=True)
        self._back_up(self.repository, True, [])
        assert restored(self.repository, f"p{self.number - 1}") == self.content

    @rule()
    def rebuild(self) -> None:
        self.repository.rebuild_index()

    @invariant()
    def every_point_restores_or_is_reported(self) -> None:
        if not hasattr(self, "repository"):
            return
        assert self.repository.list_points() == sorted(self.model)
        for point, content in self.model.items():
            try:
                assert restored(self.repository, point) == content
            except DataLoss:
                assert self.harmed

    def _prune(self, repository: Repository, grace: float) -> None:
        try:
            repository.prune(PruneOptions(grace_seconds=grace, patience_seconds=0))
        except FailedPrecondition as error:
            assert self.harmed
            assert error.reason == "PRUNE_BLIND"

    def _change(self, first: int, count: int, fill: int) -> list[tuple[int, int]]:
        length = min(count, _BLOCKS - first) * BLOCK
        data = (noise(BLOCK, fill) if fill else bytes(BLOCK)) * count
        at = first * BLOCK
        self.content = self.content[:at] + data[:length] + self.content[at + length :]
        return [(at, length)]

    def _back_up(self, repository: Repository, full: bool, changed: list[tuple[int, int]]) -> None:
        point, base = f"p{self.number}", f"p{self.number - 1}"
        if full or base not in self.model:
            back_up(repository, point, self.content, options=OPTIONS)
        else:
            try:
                back_up(repository, point, self.content, base=base, changed=changed)
            except FailedPrecondition as error:
                assert self.harmed
                assert error.reason in ("BASE_POINT_DAMAGED", "BASE_POINT_UNUSABLE")
                back_up(repository, point, self.content)
        self.model[point] = self.content
        self.number += 1

    def _is_copied(self) -> bool:
        return HEADER in self.there.objects

    def _points_there(self) -> list[str]:
        if not self._is_copied():
            return []
        with reopen(self.there, self._cache()) as copy:
            return copy.list_points()

    def _open(self) -> Repository:
        return reopen(self.store, self._cache())

    def _cache(self) -> Path:
        self.caches += 1
        return Path(self.folder.name) / str(self.caches)


TestAnyHistory = RepositoryHistory.TestCase
TestAnyHistory.settings = settings(
    max_examples=120 if THOROUGH else 25, stateful_step_count=20 if THOROUGH else 12, deadline=None
)
