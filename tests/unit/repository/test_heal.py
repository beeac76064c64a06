"""Damage heals from a copy: what only damaged packs held is stored again, and nothing is deleted for it."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.chassis.errors import Cancelled, DataLoss, FailedPrecondition, NotFound
from services.mover.repository import HealReport, MemoryStore
from services.mover.repository.format.names import PACKS
from tests.faults.repository.faulty_store import Crash, FaultyStore
from tests.support.injections import Injections
from tests.unit.repository.test_copy import A, B, C, Pair, chain
from tests.unit.repository.world import (
    MIB,
    NOW,
    back_up,
    flipped,
    new_repository,
    noise,
    reopen,
    restored,
)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    pair = Pair(tmp_path)
    with pair.repository:
        chain(pair)
        pair.copy()
        yield pair


def heal(pair: Pair) -> HealReport:
    return pair.repository.heal_from(pair.there, pair.folder / "copies")


def spoil(pair: Pair, name: str, how: str) -> None:
    data = pair.here.objects.pop(name)
    if how == "flipped":
        pair.here.objects[name] = flipped(data, 400)
    elif how == "cut":
        pair.here.objects[name] = data[: len(data) // 2]


def packs(pair: Pair) -> list[str]:
    return sorted(name for name in pair.here.objects if name.startswith(PACKS))


def require_sound(pair: Pair) -> None:
    for point, content in {"a": A, "b": B, "c": C}.items():
        assert restored(pair.repository, point) == content
    assert pair.repository.verify(full=True).damaged_points == ()


@pytest.mark.scenario(37)
@pytest.mark.parametrize("how", ["flipped", "cut", "gone"])
def test_each_damaged_pack_heals_from_the_copy(pair: Pair, injections: Injections, how: str) -> None:
    for name in packs(pair):
        with injections.one():
            spoil(pair, name, how)
            assert pair.repository.verify(full=True).damaged_points
            report = heal(pair)
            assert (report.damaged_packs, report.left_blobs) == (1, 0) and report.healed_blobs > 0
            require_sound(pair)
            pair.repository.prune(NOW)
            assert pair.repository.damaged_packs() == 0
            assert pair.repository.verify(full=True).findings == ()
            require_sound(pair)


@pytest.mark.scenario(37)
def test_all_packs_gone_at_once_heal_from_the_copy(pair: Pair) -> None:
    for name in packs(pair):
        spoil(pair, name, "gone")
    assert len(pair.repository.verify(full=True).damaged_points) == 3
    assert heal(pair).left_blobs == 0
    require_sound(pair)


def test_what_the_copy_does_not_have_whole_is_left_and_told(pair: Pair) -> None:
    back_up(pair.repository, "new", noise(MIB, 70))
    both = next(name for name in packs(pair) if name in pair.there.objects and "data" in name)
    lost = [both, *(name for name in packs(pair) if name not in pair.there.objects and "data" in name)]
    for name in lost:
        spoil(pair, name, "gone")
    pair.there.objects[both] = pair.there.objects[both][:400] + bytes(100) + pair.there.objects[both][500:]
    pair.repository.verify(full=True)
    report = heal(pair)
    assert (report.damaged_packs, report.left_blobs) == (len(lost), 5)
    with pytest.raises(DataLoss):
        restored(pair.repository, "new")


def test_without_damage_nothing_is_stored(pair: Pair) -> None:
    before = dict(pair.here.objects)
    assert heal(pair).stored_bytes == 0
    assert pair.here.objects == before


def test_a_place_without_a_copy_of_this_repository_is_refused(pair: Pair) -> None:
    other = MemoryStore("memory:other")
    new_repository(other, pair.folder / "other").close()
    with pytest.raises(FailedPrecondition, match="another repository"):
        pair.repository.heal_from(other, pair.folder / "copies")
    with pytest.raises(NotFound, match="no copy"):
        pair.repository.heal_from(MemoryStore("memory:empty"), pair.folder / "copies")


@pytest.mark.scenario(37)
def test_a_repair_killed_at_any_step_harms_nothing_and_the_next_one_heals(
    pair: Pair, injections: Injections
) -> None:
    spoil(pair, next(name for name in packs(pair) if "data" in name), "cut")
    pair.repository.verify(full=True)
    before = dict(pair.here.objects)
    for step in range(100):
        pair.here.objects.clear()
        pair.here.objects.update(before)
        doomed = FaultyStore(pair.here, crash_at=step)
        with injections.one():
            try:
                with reopen(doomed, pair.folder / f"doomed-{step}") as repository:
                    repository.heal_from(pair.there, pair.folder / f"copies-{step}")
            except Crash:
                pass
            else:
                break
            with reopen(pair.here, pair.folder / f"after-{step}") as repository:
                repository.heal_from(pair.there, pair.folder / f"copies-{step}")
                assert repository.verify(full=True).damaged_points == ()
                repository.prune(NOW)
                assert restored(repository, "a") == A
    assert step > 3


@pytest.mark.scenario(37)
def test_a_cancelled_repair_keeps_what_it_healed(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.mover.repository.copying.healing.SAVED_PACKS", 1)
    for name in packs(pair):
        spoil(pair, name, "cut")
    pair.repository.verify(full=True)
    damaged = pair.repository.damaged_packs()
    cancel = threading.Event()

    def listen(_packs: int, done: int) -> None:
        if done == damaged - 1:
            cancel.set()

    with pytest.raises(Cancelled):
        pair.repository.heal_from(pair.there, pair.folder / "copies", listener=listen, cancel=cancel)
    kept = sum(len(pair.here.objects[name]) for name in packs(pair)) // 2
    with reopen(pair.here, pair.folder / "other") as other:
        report = other.heal_from(pair.there, pair.folder / "other copies")
    assert 0 < report.stored_bytes < kept
    require_sound(pair)
