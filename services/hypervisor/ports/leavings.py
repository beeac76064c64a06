"""What a crash left in a pool; errors and repeating as in ``ports.pool``."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True)
class Leftovers:
    """Ids of the backup sources and restore targets whose tags are in a pool. ``own_ids`` are those of both
    that this installation made; the others may be another Xenkeep's."""

    source_ids: frozenset[str]
    target_ids: frozenset[str]
    own_ids: frozenset[str]


class Leavings(Protocol):
    """Finding what a crash left behind."""

    async def leftovers(self) -> Leftovers:
        """Ids of every tag of ours in the pool; copies of tags on objects that are not ours do not count."""
        ...

    async def remove_orphans(self) -> int:
        """Removes what was kept for incrementals of disks that are gone; how many."""
        ...

    async def remove_stale(self, tracking_before: datetime, data_before: datetime) -> tuple[str, ...]:
        """Removes what was kept for incrementals and is of a snapshot from before these moments (tracking
        data, whole snapshots): the UUIDs of the disks that have to be read fully next time."""
        ...
