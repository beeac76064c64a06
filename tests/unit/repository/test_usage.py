"""Statistics say what is true: what they call unique is what goes when a point goes."""

import threading
import time
from collections.abc import Collection, Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from services.chassis.errors import Cancelled
from services.mover.repository import Extent, PruneOptions, Usage
from services.mover.repository.checkpoint import unfinished
from services.mover.repository.format.blob import BlobType
from services.mover.repository.reader import BlobReader
from services.mover.repository.request import DiskRequest
from services.mover.repository.types import Bytes
from tests.unit.repository.test_prune import Place
from tests.unit.repository.world import BLOCK, KIB, MIB, OPTIONS, MemoryDisk, description, noise, overwritten

COMMON = noise(2 * MIB, 1)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    with place.repository:
        yield place


def back_up_of(
    place: Place,
    asset: str,
    point_id: str,
    content: bytes,
    base: str | None = None,
    changed: Sequence[tuple[int, int]] = (),
) -> None:
    with place.repository.begin_backup(point_id, base, options=OPTIONS) as session:
        extents = tuple(Extent(*each) for each in changed) if base else None
        session.disk(
            DiskRequest("d", len(content), extents, base_disk="d" if base else None), MemoryDisk(content)
        )
        session.stream("vm-configuration", [f"<vm {asset}/>".encode()])
        session.commit(
            description(
                asset={"id": asset, "name": asset.upper(), "kind": "vm"},
                commit_time=place.clock.now().isoformat(),
            )
        )


def survey(place: Place) -> Usage:
    usage = place.repository.survey(place.folder)
    assert [] == [path for path in place.folder.iterdir() if path.name.startswith("usage-")]
    total = usage.total
    sealed = sum(stored for _, _, stored in place.repository._context.index.copies())
    assert sealed <= total.stored, "what is gone from the index does not count"
    assert sealed == total.needed + total.trash + total.unfinished + total.dead
    assert total.needed == total.shared + sum(asset.unique for asset in usage.assets)
    return usage


@pytest.fixture
def filled(place: Place) -> Place:
    """Two VMs with content in common, one with a chain."""
    back_up_of(place, "a", "a1", COMMON + noise(MIB, 2))
    content = COMMON + noise(MIB, 2)
    for number in (2, 3):
        place.clock.time += timedelta(days=1)
        offset = 2 * MIB + number * BLOCK
        content = overwritten(content, {offset: noise(BLOCK, 10 + number)})
        back_up_of(place, "a", f"a{number}", content, f"a{number - 1}", [(offset, BLOCK)])
    back_up_of(place, "b", "b1", COMMON + noise(2 * MIB, 3))
    return place


def test_figures_are_of_what_is_there(filled: Place) -> None:
    usage = survey(filled)
    assert (4, 2) == (usage.total.points, usage.total.assets)
    logical = 3 * 3 * MIB + 4 * MIB + 4 * len("<vm a/>")
    assert logical == usage.total.logical == sum(point.logical for point in usage.points)
    assert sum(len(filled.store.objects[name]) for name in filled.names("packs/")) == usage.total.stored
    assert usage.total.ratio == logical / usage.total.stored > 2
    assert 2 * MIB < usage.total.shared < 2 * MIB + 20 * KIB
    assert ["A", "B"] == [asset.name for asset in usage.assets]
    assert [3, 1] == [asset.points for asset in usage.assets]
    first, second = usage.points[0], usage.points[1]
    assert 3 * MIB < first.stored < 3 * MIB + 40 * KIB
    assert (BLOCK, "incremental", "a") == (second.read, second.level, second.asset_id)
    assert BLOCK < second.stored < BLOCK + 10 * KIB


def test_growth_is_what_backups_of_the_last_days_added(filled: Place) -> None:
    usage = survey(filled)
    assert ["2026-01-01", "2026-01-02", "2026-01-03"] == [day.day for day in usage.days]
    assert [1, 1, 2] == [day.points for day in usage.days]
    added = sum(day.stored for day in usage.days)
    assert (round(added / 2), 2) == (usage.total.added_per_day, usage.total.days)
    filled.clock.time += timedelta(days=100)
    assert (0, 0) == (survey(filled).total.added_per_day, survey(filled).total.days)


@pytest.mark.parametrize("gone", ["a1", "a2", "a3", "b1"])
def test_what_is_unique_to_a_point_is_what_its_deletion_frees(filled: Place, gone: str) -> None:
    before = survey(filled)
    (unique,) = (point.unique for point in before.points if point.point_id == gone)
    assert (unique == 0) == (gone == "a2"), "the map of a3 says how it differs from a2's"
    filled.repository.delete_point(gone, keep=0)
    in_trash = survey(filled)
    assert (before.total.needed - unique, unique) == (in_trash.total.needed, in_trash.total.trash)
    filled.repository.prune(PruneOptions(grace_seconds=0, patience_seconds=0, repack_below=1.1))
    after = survey(filled)
    assert before.total.needed - unique == after.total.needed
    assert 0 == after.total.dead == after.total.trash


def test_what_is_unique_to_a_vm_is_what_goes_with_all_its_points(filled: Place) -> None:
    before = survey(filled)
    of_a = before.assets[0]
    assert of_a.unique > sum(point.unique for point in before.points if point.asset_id == "a") > 0
    for gone in ("a1", "a2", "a3"):
        filled.repository.delete_point(gone, keep=0, purge=True)
    after = survey(filled)
    assert before.total.needed - of_a.unique == after.total.needed
    assert of_a.unique == after.total.dead
    assert after.total.dead_share == of_a.unique / before.total.needed
    assert 0 == after.total.shared


def test_a_backup_that_may_be_resumed_is_not_dead(filled: Place) -> None:
    content = noise(6 * MIB, 9)

    def saved_chunks() -> int:
        checkpoints = unfinished(filled.repository._context)
        return sum(len(disk.progress.entries) for each in checkpoints for disk in each.disks.values())

    def die(offset: int) -> None:
        if offset >= 5 * MIB:
            while saved_chunks() * 256 * KIB <= MIB:
                time.sleep(0.01)
            raise OSError("gone")

    with (
        pytest.raises(OSError, match="gone"),
        filled.repository.begin_backup("new", transfer_id="t", options=OPTIONS) as session,
    ):
        session.disk(DiskRequest("d", len(content), source_ref="s"), MemoryDisk(content, on_read=die))
    assert survey(filled).total.unfinished > MIB


def test_a_point_that_cannot_be_walked_is_named(filled: Place) -> None:
    filled.store.objects["points/a2"] = b"?" * 300
    usage = survey(filled)
    assert (("a2",), 3) == (usage.total.unreadable, usage.total.points)


def test_a_survey_tells_how_far_it_is_and_can_be_stopped(filled: Place) -> None:
    cancel, seen = threading.Event(), list[tuple[int, int]]()

    def listen(done: int, total: int) -> None:
        seen.append((done, total))
        if done == 2:
            cancel.set()

    with pytest.raises(Cancelled):
        filled.repository.survey(filled.folder, listener=listen, cancel=cancel)
    assert [(0, 4), (1, 4), (2, 4)] == seen


def test_an_empty_repository_has_figures_too(place: Place) -> None:
    total = survey(place).total
    assert (0, 0, 0.0, 0.0) == (total.points, total.stored, total.ratio, total.dead_share)


def test_shared_maps_are_walked_a_few_times_and_not_once_a_point(
    filled: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(20):
        back_up_of(filled, "b", f"b-{number}", COMMON + noise(2 * MIB, 3), "b1")
    pages: list[bytes] = []
    read = BlobReader.read_many

    def counting(self: BlobReader, ids: Collection[bytes], type_: BlobType) -> dict[bytes, Bytes]:
        pages.extend(ids if type_ is BlobType.PAGE else ())
        return read(self, ids, type_)

    monkeypatch.setattr(BlobReader, "read_many", counting)
    assert 24 == survey(filled).total.points
    assert len(pages) <= 3 * len(set(pages))
