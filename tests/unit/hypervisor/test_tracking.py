from dataclasses import replace

import pytest

from services.hypervisor.domain.tracking import (
    FullReason,
    TrackedDisk,
    Tracking,
    TrackingOutcome,
    no_base,
    why_full,
)

NEW = TrackedDisk("disk", "sr", 1024, tracked=True)
BASE = NEW
ON = TrackingOutcome(Tracking.ON)


def test_a_tracked_disk_with_its_base_is_read_incrementally() -> None:
    assert why_full(ON, NEW, "base", BASE) is None


def test_a_disk_that_grew_is_still_read_incrementally() -> None:
    assert why_full(ON, replace(NEW, size_bytes=2048), "base", BASE) is None


@pytest.mark.scenario(38)
@pytest.mark.parametrize(
    ("reason", "outcome", "new", "ref", "base"),
    [
        ("TRACKING_UNSUPPORTED", TrackingOutcome(Tracking.UNSUPPORTED), False, "base", BASE),
        ("TRACKING_UNLICENSED", TrackingOutcome(Tracking.UNLICENSED, "LICENCE"), False, "base", BASE),
        ("TRACKING_LOST", TrackingOutcome(Tracking.REFUSED, "SR_BACKEND_FAILURE_457"), False, "base", BASE),
        ("TRACKING_LOST", ON, False, "base", BASE),
        ("TRACKING_WAS_OFF", ON, True, "", None),
        ("BASE_SNAPSHOT_GONE", ON, True, "base", None),
        ("DISK_REPLACED", ON, True, "base", replace(BASE, disk_id="other")),
        ("DISK_REPLACED", ON, True, "base", replace(BASE, sr_id="other")),
        ("DISK_RESIZED", ON, True, "base", replace(BASE, size_bytes=4096)),
        ("TRACKING_WAS_OFF", ON, True, "base", replace(BASE, tracked=False)),
        ("TRACKING_LOST", TrackingOutcome(Tracking.SWITCHED_ON), True, "base", BASE),
    ],
)
def test_each_obstacle_has_its_reason(
    reason: str, outcome: TrackingOutcome, new: bool, ref: str, base: TrackedDisk | None
) -> None:
    full = why_full(outcome, replace(NEW, tracked=new), ref, base)
    assert full is not None
    assert FullReason(reason) is full.reason
    assert outcome.words in full.message


def test_a_disk_without_a_base_is_full_for_the_reason_that_was_given() -> None:
    assert FullReason.REQUESTED is no_base(FullReason.REQUESTED, others_have_bases=False).reason
    assert FullReason.FIRST_BACKUP is no_base(FullReason.UNSPECIFIED, others_have_bases=False).reason


def test_a_disk_that_was_added_is_a_first_backup_among_incrementals() -> None:
    assert FullReason.FIRST_BACKUP is no_base(FullReason.UNSPECIFIED, others_have_bases=True).reason
    replaced = no_base(FullReason.UNSPECIFIED, others_have_bases=True, gone={"disk-1"})
    assert FullReason.DISK_REPLACED is replaced.reason
    assert "disk-1" in replaced.message
