"""Whether a disk can be read incrementally, and if not, exactly why."""

from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum


class FullReason(Enum):
    """Names as in the contract; UNSPECIFIED means that no reason is due."""

    UNSPECIFIED = "UNSPECIFIED"
    REQUESTED = "REQUESTED"
    FIRST_BACKUP = "FIRST_BACKUP"
    TRACKING_UNSUPPORTED = "TRACKING_UNSUPPORTED"
    TRACKING_UNLICENSED = "TRACKING_UNLICENSED"
    TRACKING_WAS_OFF = "TRACKING_WAS_OFF"
    TRACKING_LOST = "TRACKING_LOST"
    BASE_SNAPSHOT_GONE = "BASE_SNAPSHOT_GONE"
    BASE_POINT_UNUSABLE = "BASE_POINT_UNUSABLE"
    DISK_REPLACED = "DISK_REPLACED"
    DISK_RESIZED = "DISK_RESIZED"
    SUSPEND_IMAGE = "SUSPEND_IMAGE"


class Tracking(Enum):
    """What came of making sure that changed blocks of a disk are tracked."""

    ON = "ON"
    SWITCHED_ON = "SWITCHED_ON"
    UNSUPPORTED = "UNSUPPORTED"
    UNLICENSED = "UNLICENSED"
    REFUSED = "REFUSED"


@dataclass(frozen=True)
class TrackingOutcome:
    """``words`` are the pool's own when it refused."""

    tracking: Tracking
    words: str = ""


@dataclass(frozen=True)
class TrackedDisk:
    """A disk or snapshot of one, as far as tracking is concerned. ``disk_id`` is the live disk's UUID."""

    disk_id: str
    sr_id: str
    size_bytes: int
    tracked: bool


@dataclass(frozen=True)
class Full:
    """The whole disk must be read."""

    reason: FullReason
    message: str


_UNTRACKED = {
    Tracking.UNSUPPORTED: (
        FullReason.TRACKING_UNSUPPORTED,
        "The storage repository cannot track changed blocks of this disk.",
    ),
    Tracking.UNLICENSED: (
        FullReason.TRACKING_UNLICENSED,
        "The pool's licence does not include changed block tracking.",
    ),
    Tracking.REFUSED: (FullReason.TRACKING_LOST, "The pool refused to track changed blocks."),
}

_ASKED = {
    FullReason.REQUESTED: "A full backup was asked for.",
    FullReason.FIRST_BACKUP: "There is no earlier restore point of this disk in this repository.",
    FullReason.BASE_POINT_UNUSABLE: "The restore point to build on cannot be used.",
}


def no_base(asked: FullReason, others_have_bases: bool, gone: Collection[str] = ()) -> Full:
    """Why a disk without a base is read fully: as asked, or because it is new among disks that have one.

    ``gone`` are disks with a base that the VM no longer has: a disk that moves to other storage, or is
    reverted, comes back under another UUID.
    """
    if gone:
        return Full(
            FullReason.DISK_REPLACED,
            f"It has no restore point, and the VM no longer has disk {', '.join(sorted(gone))}, which had "
            "one: that was moved to other storage, reverted or replaced.",
        )
    if others_have_bases or asked not in _ASKED:
        asked = FullReason.FIRST_BACKUP
    return Full(asked, _ASKED[asked])


def why_full(
    outcome: TrackingOutcome, snapshot: TrackedDisk, base_ref: str, base: TrackedDisk | None
) -> Full | None:
    """None when the pool may be asked for the blocks changed between ``base`` and ``snapshot``.

    ``base_ref`` is what the base restore point noted ("" when it was taken without tracking), ``base`` what
    the pool has of it now.
    """
    if base_ref and base is None:
        return _gone(base_ref)
    if not snapshot.tracked:
        reason, message = _UNTRACKED.get(
            outcome.tracking, (FullReason.TRACKING_LOST, "The new snapshot is not tracked.")
        )
        return Full(reason, _with(message, outcome.words))
    if base is None:
        return Full(FullReason.TRACKING_WAS_OFF, "Tracking was off when the last restore point was taken.")
    if base.disk_id != snapshot.disk_id or base.sr_id != snapshot.sr_id:
        return Full(
            FullReason.DISK_REPLACED, "The disk is not the one the last restore point was taken from."
        )
    if snapshot.size_bytes < base.size_bytes:
        return Full(
            FullReason.DISK_RESIZED,
            f"The disk shrank from {base.size_bytes} to {snapshot.size_bytes} bytes.",
        )
    if not base.tracked:
        return Full(
            FullReason.TRACKING_WAS_OFF, "Tracking of the last restore point's snapshot has been off."
        )
    if outcome.tracking is Tracking.SWITCHED_ON:
        return Full(
            FullReason.TRACKING_LOST,
            "Tracking was lost since the last restore point and has been switched on again.",
        )
    return None


def _gone(base_ref: str) -> Full:
    return Full(
        FullReason.BASE_SNAPSHOT_GONE,
        f"The snapshot {base_ref} the last restore point was taken from is gone from the pool: somebody "
        "removed it, or Xenkeep did after a long time without a backup into this repository.",
    )


def refused(words: str) -> Full:
    """The pool could not tell what changed."""
    return Full(FullReason.TRACKING_LOST, _with("The pool cannot tell what changed.", words))


def _with(message: str, words: str) -> str:
    return f"{message} The pool says: {words}" if words else message
