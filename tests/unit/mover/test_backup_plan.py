"""What a backup asks for, by what the repository holds."""

from services.mover.app.backup_plan import wish
from services.mover.app.known_points import Known
from services.mover.domain.capture import FullReason
from services.mover.domain.source import Base
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
