"""What a repository's statistics say. Sizes in bytes."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(slots=True)
class PointUsage:
    """``logical`` is what it restores to, disks with their holes and streams; ``read`` and ``stored`` are of
    its backup; ``unique`` would be freed if it alone went.
    """

    point_id: str
    asset_id: str
    asset_name: str
    asset_kind: str
    level: str
    commit_time: str
    logical: int
    read: int
    stored: int
    unique: int = 0


@dataclass(slots=True)
class AssetUsage:
    """All points of one VM or pool; ``unique`` would be freed if all of them went."""

    asset_id: str
    name: str
    kind: str
    points: int = 0
    logical: int = 0
    read: int = 0
    stored: int = 0
    unique: int = 0


@dataclass(slots=True)
class DayUsage:
    """What the backups that were committed on a day, in UTC, added; those deleted since are not counted."""

    day: str
    points: int = 0
    logical: int = 0
    stored: int = 0


@dataclass(frozen=True, slots=True)
class TotalUsage:
    """``needed``, ``trash``, ``unfinished`` and ``dead`` add up to all sealed blobs: what points need, what
    only deleted points need, what only unfinished backups need, and the rest, second copies included.

    ``stored`` is all packs, with what is around blobs. ``added_per_day`` is the average of the last
    ``days``, which are 30 or as many as there are. ``unreadable`` are points that could not be counted.
    """

    points: int
    assets: int
    packs: int
    blobs: int
    logical: int
    stored: int
    needed: int
    shared: int
    trash: int
    unfinished: int
    dead: int
    added_per_day: int
    days: int
    free: int | None
    unreadable: tuple[str, ...]

    @property
    def ratio(self) -> float:
        """How many logical bytes a stored byte stands for; 0 when nothing is stored."""
        return self.logical / self.stored if self.stored else 0.0

    @property
    def dead_share(self) -> float:
        sealed = self.needed + self.trash + self.unfinished + self.dead
        return self.dead / sealed if sealed else 0.0


@dataclass(frozen=True, slots=True)
class Usage:
    """Points by time, assets by name, days in order."""

    total: TotalUsage
    assets: tuple[AssetUsage, ...]
    points: tuple[PointUsage, ...]
    days: tuple[DayUsage, ...]


class UsageListener(Protocol):
    """Hears of points walked, of how many; must return quickly."""

    def __call__(self, done: int, total: int, /) -> None: ...
