"""Reading only what differs from a kept snapshot, where the pool cannot track changed blocks.

A snapshot is a leaf of its own that is never written, upon a hidden parent. What differs between it and a
newer snapshot is what lies above that parent, on the newer one's path: only then may the pool be asked. A
disk that was put back to another snapshot has another path, though its UUID may be the same.
"""

from dataclasses import dataclass
from enum import Enum

from services.hypervisor.domain.tracking import Full, FullReason, TrackedDisk


class WithoutTracking(Enum):
    """What to do where changed blocks cannot be tracked; names as in the contract."""

    KEEP_SNAPSHOT = "KEEP_SNAPSHOT"
    READ_ALL = "READ_ALL"


@dataclass(frozen=True)
class Layers:
    """What a snapshot's disk is made of: ``parents`` are its hidden parents' UUIDs, the nearest first, empty
    when they cannot be followed to the root. ``has_data`` is false once only tracking data is left;
    ``used_bytes`` is what its own layer takes.
    """

    parents: tuple[str, ...]
    has_data: bool
    used_bytes: int

    @property
    def can_be_base(self) -> bool:
        return self.has_data and bool(self.parents)


def why_not(snapshot: TrackedDisk, new: Layers, base: TrackedDisk, old: Layers) -> Full | None:
    """None when the pool may be asked what of ``snapshot`` differs from ``base``, which was kept."""
    if base.disk_id != snapshot.disk_id or base.sr_id != snapshot.sr_id:
        return Full(
            FullReason.DISK_REPLACED, "The disk is not the one the last restore point was taken from."
        )
    if snapshot.size_bytes < base.size_bytes:
        return Full(
            FullReason.DISK_RESIZED,
            f"The disk shrank from {base.size_bytes} to {snapshot.size_bytes} bytes.",
        )
    if not old.parents or old.parents[0] not in new.parents:
        return Full(
            FullReason.DISK_REPLACED,
            "The disk was put back to another snapshot since the last restore point, or its layers cannot be "
            "followed.",
        )
    return None
