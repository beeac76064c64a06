"""What a backup is asked for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from services.mover.repository.cores import threads
from services.mover.repository.extents import Extent
from services.mover.repository.format.point import Notice

FULL, INCREMENTAL = "full", "incremental"


@dataclass(frozen=True, slots=True)
class BackupOptions:
    """How hard to work.

    ``readers`` threads read one disk, ``workers`` hash, compress and seal, ``uploads`` packs are stored at
    once; ``level`` is zstd's; ``check`` decodes every blob after it was encoded. Memory: a chunk for each
    reader, two for each worker and two more, and two packs for each upload and two more. Every
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
