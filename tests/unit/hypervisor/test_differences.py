from dataclasses import replace

import pytest

from services.hypervisor.domain.differences import Layers, why_not
from services.hypervisor.domain.tracking import FullReason, TrackedDisk

NEW = TrackedDisk("disk", "sr", 1024, tracked=False)
ABOVE = Layers(("p2", "p1"), has_data=True, used_bytes=0)
KEPT = Layers(("p1",), has_data=True, used_bytes=0)


def test_a_kept_snapshot_below_the_new_one_is_a_base() -> None:
    assert why_not(NEW, ABOVE, NEW, KEPT) is None
    assert why_not(replace(NEW, size_bytes=2048), ABOVE, NEW, KEPT) is None


@pytest.mark.parametrize(
    ("reason", "new", "layers", "base", "kept"),
    [
        ("DISK_REPLACED", NEW, ABOVE, replace(NEW, disk_id="other"), KEPT),
        ("DISK_REPLACED", NEW, ABOVE, replace(NEW, sr_id="other"), KEPT),
        ("DISK_RESIZED", NEW, ABOVE, replace(NEW, size_bytes=4096), KEPT),
        ("DISK_REPLACED", NEW, replace(ABOVE, parents=("p9", "p0")), NEW, KEPT),
        ("DISK_REPLACED", NEW, replace(ABOVE, parents=()), NEW, KEPT),
        ("DISK_REPLACED", NEW, ABOVE, NEW, replace(KEPT, parents=())),
    ],
)
def test_each_obstacle_has_its_reason(
    reason: str, new: TrackedDisk, layers: Layers, base: TrackedDisk, kept: Layers
) -> None:
    full = why_not(new, layers, base, kept)
    assert full is not None and FullReason(reason) is full.reason


def test_only_data_whose_layers_can_be_followed_is_worth_keeping() -> None:
    assert KEPT.can_be_base
    assert not replace(KEPT, parents=()).can_be_base
    assert not replace(KEPT, has_data=False).can_be_base
