"""What a backup is asked for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from services.mover.repository.cores import threads
from services.mover.repository.extents import Extent
from services.mover.repository.format.header import DEFAULT_CHUNK_BYTES, DEFAULT_PACK_BYTES
from services.mover.repository.format.point import Notice

FULL, INCREMENTAL = "full", "incremental"


@dataclass(frozen=True, slots=True)
class BackupOptions:
    """How hard to work.

    ``readers`` threads read one disk, ``workers`` hash, compress and seal, ``uploads`` packs are stored at
    once; ``level`` is zstd's; ``check`` decodes every blob after it was encoded. Every
    ``lease_seconds`` a writer shows that it lives, so that a prune waits for it.
    """

    readers: int = 4
    workers: int = field(default_factory=threads)
    uploads: int = 2
    level: int = 1
    check: bool = True
    checkpoint_seconds: float = 5.0
    lease_seconds: float = 60.0
    unchanged_chunks: int = 0
    """So many chunks of each disk that is read incrementally, and that did not change, are compared."""

    @property
    def most_packs(self) -> int:
        """Of data, that are filled or not stored yet; of map pages and lists as many, as a rule one."""
        return 2 * self.uploads + 2

    @property
    def buffers(self) -> int:
        """Of a chunk's size, for each disk that is being read."""
        return self.readers + 2 * self.workers + 2

    def memory_bytes(
        self, disks: int, chunk_bytes: int = DEFAULT_CHUNK_BYTES, pack_bytes: int = DEFAULT_PACK_BYTES
    ) -> int:
        """What a backup may hold that reads so many disks at once, however slow the store is."""
        return (self.most_packs + 1) * pack_bytes + disks * self.buffers * chunk_bytes


@dataclass(frozen=True, slots=True)
class DiskRequest:
    """A disk to back up.

    ``extents`` (None: everything) is what to read: all allocated ranges for a full, all changed ranges since
    ``base_disk`` of the base point for an incremental. ``source_ref`` names the snapshot: a backup only
    resumes what was read from the same one. ``reason`` says why a disk is read fully; ``tracking_ref`` is
    what the next incremental will need, opaque.
    """

    disk_id: str
    size_bytes: int
    extents: tuple[Extent, ...] | None = None
    base_disk: str | None = None
    label: str = ""
    reason: str = ""
    tracking_ref: str = ""
    source_ref: str = ""


@dataclass(frozen=True, slots=True)
class PointDescription:
    """What the caller says of a point. Times RFC 3339, UTC; ``document`` is any JSON."""

    asset: dict[str, str]
    method: str
    consistency: str
    snapshot_time: str
    commit_time: str
    document: Any = None
    notices: tuple[Notice, ...] = ()
    disk_order: Sequence[str] = ()
    """Ids of disks, in the order the point has them; without, as they were begun."""
    late_notices: Callable[[], Sequence[Notice]] = tuple
    """Asked when all packs are stored: what is known only then."""
