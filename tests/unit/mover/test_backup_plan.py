"""What a backup asks for, by what the repository holds."""

from datetime import UTC, datetime

import pytest

from services.mover.app.backup_plan import plan, wish
from services.mover.app.known_points import Known
from services.mover.domain.capture import Consistency, FullReason, Level, Method
from services.mover.domain.source import Base, Source, SourceDisk
from services.mover.repository import Disk, RestorePoint


def _point(*disks: Disk, kinds: dict[str, str] | None = None) -> RestorePoint:
    return RestorePoint(
        point_id="p1",
        base_point=None,
        asset={"id": "vm-1", "kind": "vm"},
        method="normal",
        consistency="crash",
        level="full",
        snapshot_time="2026-01-01T00:00:00Z",
        commit_time="2026-01-01T00:01:00Z",
        disks=disks,
        streams={},
        notices=(),
        statistics={},
        document={"kinds": kinds or {}},
    )


def _disk(disk_id: str, tracking_ref: str = "") -> Disk:
    return Disk(disk_id, disk_id, 1024, None, "full", tracking_ref=tracking_ref)


def _wished(point: RestorePoint) -> tuple[Base, ...]:
    return wish(Known((point,), {}), "vm-1", full=False).bases


def test_a_disk_that_was_not_tracked_is_named_too_so_that_the_reason_is_the_true_one() -> None:
    assert (Base("a", "ref"), Base("b", "")) == _wished(_point(_disk("a", "ref"), _disk("b")))


def test_an_image_of_memory_is_no_disk_that_went_away() -> None:
    point = _point(_disk("a", "ref"), _disk("image"), kinds={"image": "memory"})
    assert (Base("a", "ref"),) == _wished(point)


def test_a_disk_of_a_vms_own_snapshot_need_not_be_read_again() -> None:
    disks = (_disk("a", "ref"), _disk("b", "unchanging:b"))
    point = _point(*disks, kinds={"b": "own_snapshot"})
    assert (Base("a", "ref"), Base("b", "unchanging:b")) == _wished(point)


def test_a_repository_that_knows_nothing_of_the_vm_says_so() -> None:
    asked = wish(Known((), {}), "vm-1", full=False)
    assert ((), FullReason.FIRST_BACKUP) == (asked.bases, asked.reason)


def _offered(disk_id: str, base_ref: str) -> SourceDisk:
    return SourceDisk(
        disk_id,
        disk_id,
        disk_id,
        1024,
        Level.INCREMENTAL,
        FullReason.NONE,
        "",
        f"new-{disk_id}",
        True,
        0,
        base_ref,
    )


@pytest.mark.scenario(38)
def test_a_disk_whose_changes_are_relative_to_something_else_than_the_base_is_read_fully() -> None:
    """The others stay incremental: each disk's changes have to be relative to that very point's disk."""
    source = Source(
        "s",
        "vm-1",
        "",
        "",
        Method.NORMAL,
        Consistency.CRASH,
        datetime(2026, 1, 2, tzinfo=UTC),
        b"",
        (_offered("a", "ref-a"), _offered("b", "reverted")),
        (),
    )
    planned = plan(source, [_point(_disk("a", "ref-a"), _disk("b", "ref-b"))])
    assert [Level.INCREMENTAL, Level.FULL] == [each.level for each in planned.disks]
    assert FullReason.BASE_POINT_UNUSABLE == planned.disks[1].reason
    assert planned.disks[1].request(source, ()).extents is None
