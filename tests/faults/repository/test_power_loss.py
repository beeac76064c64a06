"""The power goes at any file operation: what was acknowledged is there, and the next backup works."""

import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.chassis.errors import AlreadyExists, ResourceExhausted
from services.mover.repository import DirectoryStore, Repository
from tests.faults.repository.prunes import NOW
from tests.faults.repository.recorded_disk import Disk, Operation, Recording, lay_out
from tests.support.injections import Injections
from tests.support.scenarios import THOROUGH
from tests.unit.repository.world import BLOCK, back_up, new_repository, noise, overwritten, reopen, restored

BASE = noise(12 * BLOCK)
NEXT = overwritten(BASE, {0: noise(BLOCK, 1), 7 * BLOCK: noise(BLOCK, 2)})
CHANGED = [(0, BLOCK), (7 * BLOCK, BLOCK)]
CONTENTS = {"base": BASE, "next": NEXT, "later": NEXT}
_SEEDS = range(3 if THOROUGH else 1)
WAYS = [(how, 0) for how in ("nothing", "names", "zeros")] + [("torn", seed) for seed in _SEEDS]
_EVERY = 1 if THOROUGH else 9


def _back_up_next(repository: Repository) -> None:
    try:
        back_up(repository, "next", NEXT, base="base", changed=CHANGED, transfer="t")
    except AlreadyExists:
        return


def _moments(operations: list[Operation]) -> Iterator[tuple[int, Disk]]:
    """The disk after each operation."""
    disk = Disk()
    for number, operation in enumerate(operations):
        disk.apply(operation)
        yield number, disk


def _disk(recording: Recording) -> Disk:
    disk = Disk()
    for operation in recording.operations:
        disk.apply(operation)
    return disk


def _judge(folder: Path, cache: Path, told: list[str]) -> None:
    """Acknowledged points restore; the others are whole or absent; a backup works; nothing is damaged."""
    with reopen(DirectoryStore(folder), cache) as repository:
        points = repository.list_points()
        assert set(told) <= set(points)
        for point in points:
            assert restored(repository, point) == CONTENTS[point]
        if "base" in points:
            _back_up_next(repository)
            assert restored(repository, "next") == NEXT
        back_up(repository, "later", NEXT)
        assert restored(repository, "later") == NEXT
        assert repository.verify(full=False).findings == ()


@pytest.mark.scenario(2)
def test_power_lost_at_any_operation_of_two_backups_loses_nothing_that_was_acknowledged(
    tmp_path: Path, injections: Injections
) -> None:
    recording = Recording(tmp_path / "live")
    recording.root.mkdir()
    with recording.recording():
        store = DirectoryStore(recording.root)
        with new_repository(store, tmp_path / "c", 4 * BLOCK, 8 * BLOCK) as repository:
            recording.tell("repository")
            back_up(repository, "base", BASE)
            recording.tell("base")
            _back_up_next(repository)
            recording.tell("next")
    seen: set[int] = set()
    for number, disk in _moments(recording.operations):
        if number % _EVERY and recording.operations[number].verb != "told":
            continue
        for how, seed in WAYS:
            files = disk.after_power_loss(how, number * 10 + seed)
            state = hash((frozenset(files.items()), tuple(disk.told)))
            if "repository" not in disk.told or state in seen:
                continue
            seen.add(state)
            with injections.one():
                lay_out(files, tmp_path / "after")
                _judge(tmp_path / "after", tmp_path / f"c{len(seen)}", disk.told[1:])
            shutil.rmtree(tmp_path / "after")
            shutil.rmtree(tmp_path / f"c{len(seen)}")
    assert injections.injected > 20


@pytest.mark.scenario(1, 2)
def test_what_a_dead_mover_left_unsynced_is_safe_before_another_one_relies_on_it(
    tmp_path: Path, injections: Injections
) -> None:
    """Killed at any operation of its second backup; another mover finishes; then the power goes."""
    before = Recording(tmp_path / "before")
    before.root.mkdir()
    with before.recording(), new_repository(DirectoryStore(before.root), tmp_path / "c", 4 * BLOCK) as made:
        back_up(made, "base", BASE)
        begun = len(before.operations)
        _back_up_next(made)
    named = {number for number, _ in before.named(begun)}
    for killed in sorted(named) if not THOROUGH else range(begun, len(before.operations) + 1):
        live = Recording(tmp_path / "live", before.operations[:killed])
        lay_out(_disk(live).after_power_loss("everything"), live.root)
        with live.recording(), reopen(DirectoryStore(live.root), tmp_path / "c2") as heir:
            _back_up_next(heir)
        with injections.one():
            lay_out(_disk(live).after_power_loss("nothing"), tmp_path / "after")
            _judge(tmp_path / "after", tmp_path / "c3", ["base", "next"])
        for name in ("live", "after", "c2", "c3"):
            shutil.rmtree(tmp_path / name)
    assert injections.injected > 10


@pytest.mark.scenario(2)
@pytest.mark.parametrize("kind", ["index/", "packs/data/"])
def test_what_a_dead_mover_left_is_safe_before_a_point_that_adds_none_of_it_relies_on_it(
    tmp_path: Path, kind: str
) -> None:
    """An index segment that was about to be durable; or a pack, which a rebuild of the index lists."""
    before = Recording(tmp_path / "before")
    before.root.mkdir()
    with before.recording(), new_repository(DirectoryStore(before.root), tmp_path / "c", 4 * BLOCK) as made:
        back_up(made, "base", BASE)
        begun = len(before.operations)
        _back_up_next(made)
    killed = max(number for number, path in before.named(begun) if path.startswith(kind))
    live = Recording(tmp_path / "live", before.operations[:killed])
    lay_out(_disk(live).after_power_loss("everything"), live.root)
    with live.recording(), reopen(DirectoryStore(live.root), tmp_path / "c2") as heir:
        if kind != "index/":
            heir.rebuild_index()
        twin = back_up(heir, "twin", NEXT, base="base", changed=CHANGED)
        assert twin.statistics["known_blobs"] > 0
    lay_out(_disk(live).after_power_loss("nothing"), tmp_path / "after")
    with reopen(DirectoryStore(tmp_path / "after"), tmp_path / "c3") as repository:
        assert restored(repository, "twin") == NEXT


@pytest.mark.scenario(2)
def test_a_folder_that_a_dead_mover_made_is_safe_before_what_is_put_into_it_counts(tmp_path: Path) -> None:
    """It died after ``mkdir``, before the folder's name was on the disk."""
    before = Recording(tmp_path / "before")
    before.root.mkdir()
    with before.recording():
        DirectoryStore(before.root).put("points/p", [b"content"])
    verbs = [operation.verb for operation in before.operations]
    named = verbs.index("directory") + 2
    assert ["directory", "name", "sync"] == verbs[named - 2 : named + 1]
    live = Recording(tmp_path / "live", before.operations[:named])
    lay_out(_disk(live).after_power_loss("everything"), live.root)
    with live.recording():
        DirectoryStore(live.root).put("points/p", [b"content"])
    assert {"points": None, "points/p": b"content"} == _disk(live).after_power_loss("nothing")


@pytest.mark.scenario(1, 2)
def test_a_folder_whose_name_was_refused_is_not_relied_on_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk may refuse to make it durable; what is put into it later, when there is room, counts."""
    recording = Recording(tmp_path / "live")
    recording.root.mkdir()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with recording.recording():
        store = DirectoryStore(recording.root)
        with monkeypatch.context() as patch, pytest.raises(ResourceExhausted):
            patch.setattr(os, "fsync", full)
            store.put("points/p", [b"content"])
        store.put("points/p", [b"content"])
    assert {"points": None, "points/p": b"content"} == _disk(recording).after_power_loss("nothing")


@pytest.mark.scenario(2, 23)
def test_power_lost_at_any_operation_of_a_prune_loses_nothing_that_is_kept(
    tmp_path: Path, injections: Injections
) -> None:
    recording = Recording(tmp_path / "live")
    recording.root.mkdir()
    with recording.recording():
        store = DirectoryStore(recording.root)
        with new_repository(store, tmp_path / "c", 4 * BLOCK, 8 * BLOCK) as repository:
            back_up(repository, "old", noise(20 * BLOCK, 9) + BASE[: 4 * BLOCK])
            back_up(repository, "base", BASE)
            begun = len(recording.operations)
            repository.delete_point("old", keep=0, purge=True)
            recording.tell("old is gone")
            repository.prune(NOW)
    seen: set[int] = set()
    for number, disk in _moments(recording.operations):
        if number < begun or number % _EVERY:
            continue
        for how, seed in WAYS:
            files = disk.after_power_loss(how, number * 10 + seed)
            state = hash((frozenset(files.items()), tuple(disk.told)))
            if state in seen:
                continue
            seen.add(state)
            with injections.one():
                lay_out(files, tmp_path / "after")
                _judge_pruned(tmp_path / "after", tmp_path / f"c{len(seen)}", gone="old is gone" in disk.told)
            shutil.rmtree(tmp_path / "after")
            shutil.rmtree(tmp_path / f"c{len(seen)}")
    assert injections.injected > 5


def _judge_pruned(folder: Path, cache: Path, *, gone: bool) -> None:
    with reopen(DirectoryStore(folder), cache) as repository:
        points = repository.list_points()
        assert "base" in points
        assert not gone or "old" not in points
        assert restored(repository, "base") == BASE
        _back_up_next(repository)
        repository.prune(NOW)
        assert [restored(repository, point) for point in ("base", "next")] == [BASE, NEXT]
        assert repository.verify(full=True).findings == ()


@pytest.mark.parametrize("left_out", ["fdatasync", "fsync"])
def test_a_store_that_leaves_a_sync_out_would_be_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left_out: str
) -> None:
    """The recorder loses what a disk may lose: otherwise these tests would show nothing."""
    for honest in (True, False):
        recording = Recording(tmp_path / f"{honest}")
        recording.root.mkdir()
        with recording.recording(), monkeypatch.context() as patch:
            if not honest:
                patch.setattr(os, left_out, lambda _: None)
            DirectoryStore(recording.root).put("points/p", [b"content"])
        left = _disk(recording).after_power_loss("nothing")
        assert (left.get("points/p") == b"content") == honest
