"""An opened repository as whoever restores from it sees it."""

import threading
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from services.chassis.errors import DataLoss
from services.mover.repository.compare import compare_disk
from services.mover.repository.context import Context
from services.mover.repository.damage import recorded_damage
from services.mover.repository.extents import Extent
from services.mover.repository.features import require_openable
from services.mover.repository.format.point import RestorePoint
from services.mover.repository.identity import require_same_repository
from services.mover.repository.indexing import sync_index
from services.mover.repository.points import (
    listed_points,
    read_disk,
    read_point,
    read_stream_ref,
    require_still_there,
)
from services.mover.repository.ports import BlockSource, BlockTarget, ProgressListener
from services.mover.repository.restorable import known_damage, require_restorable
from services.mover.repository.restore import Reached, RestoreOptions, data_extents, read_range, restore_disk
from services.mover.repository.streamreader import read_stream
from services.mover.repository.trash import (
    Trashed,
    trashed,
)
from services.mover.repository.usage.report import Usage, UsageListener
from services.mover.repository.usage.survey import survey


@dataclass(frozen=True, slots=True)
class Statistics:
    """Sizes in bytes; ``free_bytes`` None when the store cannot tell."""

    points: int
    packs: int
    pack_bytes: int
    blobs: int
    free_bytes: int | None


class ReadableRepository:
    """What can be looked at and restored. Writes nothing but damage that it meets, where that may be done."""

    def __init__(self, context: Context, notices: list[tuple[str, str]]) -> None:
        self._context = context
        self._notices = notices

    @property
    def repository_id(self) -> str:
        """32 hexadecimal digits. A mirror has the same id as its original."""
        return self._context.header.repository_id.hex()

    @property
    def chunk_bytes(self) -> int:
        return self._context.chunk_bytes

    @property
    def created_time(self) -> str:
        return self._context.header.created_time

    @property
    def notices(self) -> list[tuple[str, str]]:
        """Code and sentence of everything that was less than expected since opening."""
        return list(self._notices)

    def close(self) -> None:
        """Also overwrites the keys in memory."""
        self._context.index.close()
        self._context.keys.wipe()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def note(self, code: str, message: str) -> None:
        """Add to ``notices``."""
        self._context.on_notice(code, message)

    def require_there(self) -> None:
        """Raises FailedPrecondition when the place was emptied, or holds another repository by now."""
        require_same_repository(self._context)

    def list_points(self) -> list[str]:
        """Ids of all committed points, sorted."""
        return listed_points(self._context)

    def get_point(self, point_id: str) -> RestorePoint:
        """Raises NotFound, or DataLoss when the point object is damaged."""
        return read_point(self._context, point_id)

    def list_trash(self) -> list[Trashed]:
        """Deleted points that can still be taken back, the oldest first.

        A copy of a point that is there is what a deletion left that died, or was refused.
        """
        copies = sorted(trashed(self._context), key=lambda copy: (copy.deleted_time, copy.point_id))
        there = set(listed_points(self._context)) if copies else set()
        return [copy for copy in copies if copy.point_id not in there]

    def known_damage(self, point_id: str, disk_ids: Collection[str] | None = None) -> str:
        """What is known to keep the point, or these disks of it, from being restored; empty when nothing is.

        Reads the point; walks its maps only while some pack is known to be damaged.
        """
        return known_damage(self._context, point_id, disk_ids)

    def require_restorable(self, point_id: str, disk_ids: Collection[str] | None = None) -> None:
        """Raises DataLoss naming what is lost when a disk or stream is known not to be restorable.

        With ``disk_ids`` these disks are looked at, and no stream.
        """
        self._require_known()
        require_restorable(self._context, point_id, disk_ids)

    def data_extents(self, point_id: str, disk_id: str) -> list[Extent]:
        """What a restore of the disk will write, ascending and apart; every other byte is zero."""
        self._require_known()
        disk = read_disk(self._context, point_id, disk_id)
        return list(data_extents(self._context.disk_map(disk)))

    def restore_disk(
        self,
        point_id: str,
        disk_id: str,
        target: BlockTarget,
        *,
        options: RestoreOptions | None = None,
        listener: ProgressListener | None = None,
        cancel: threading.Event | None = None,
        reached: Reached | None = None,
    ) -> int:
        """Write the disk's ``data_extents`` to ``target``, from where an earlier attempt had ``reached``;
        bytes written.

        Raises DataLoss, before the first write when the damage is known; never writes zeros for lost data.
        """
        self._require_known()
        disk = read_disk(self._context, point_id, disk_id)
        sync_index(self._context)
        options, reached = options or RestoreOptions(), reached or Reached()
        return restore_disk(self._context, point_id, disk, target, options, listener, cancel, reached)

    def compare_disk(
        self,
        point_id: str,
        disk_id: str,
        source: BlockSource,
        listener: Callable[[int], None] | None = None,
    ) -> int:
        """Read what ``data_extents`` names from ``source``; bytes compared.

        Raises DataLoss where it is not the disk's content. What lies between the extents is not looked at.
        """
        self._require_known()
        disk = read_disk(self._context, point_id, disk_id)
        return compare_disk(self._context, point_id, disk, source, listener)

    def read_disk(self, point_id: str, disk_id: str, offset: int, length: int) -> bytes:
        """Bytes of a disk; raises InvalidInput when the range is not on it."""
        disk = read_disk(self._context, point_id, disk_id)
        return read_range(self._context, disk, offset, length)

    def read_stream(
        self, point_id: str, name: str, offset: int = 0, length: int | None = None
    ) -> Iterator[bytes]:
        """Bytes of the point's stream ``name`` in order: ``length`` from ``offset``, or to the end.

        Reads only the pieces it needs. Raises NotFound, InvalidInput when the range is not in the stream, and
        DataLoss when a piece is damaged; what is given out before that is right.
        """
        self._require_known()
        ref = read_stream_ref(self._context, point_id, name)
        return self._quarantining(point_id, read_stream(self._context.reader, ref, offset, length))

    def damaged_packs(self) -> int:
        """How many packs are known to be damaged."""
        return sum(1 for _ in recorded_damage(self._context.store))

    def statistics(self) -> Statistics:
        self._require_known()
        packs, pack_bytes, blobs = self._context.index.totals()
        return Statistics(len(self.list_points()), packs, pack_bytes, blobs, self._context.store.free_bytes())

    def survey(
        self,
        folder: Path,
        *,
        listener: UsageListener | None = None,
        cancel: threading.Event | None = None,
    ) -> Usage:
        """What takes how much room: of the whole, of each asset, point and day; others may write meanwhile.

        Walks every point. ``folder`` has room for some 50 bytes a blob, for as long as it takes. Raises
        Cancelled, ResourceExhausted when that room is not there, and what the store raises.
        """
        self._require_known()
        return survey(self._context, folder, listener, cancel)

    def _quarantining(self, point_id: str, parts: Iterator[bytes]) -> Iterator[bytes]:
        try:
            yield from parts
        except DataLoss as error:
            require_still_there(self._context, point_id)
            self._context.quarantine(error)
            raise

    def _require_known(self) -> None:
        """A mover has it open for months: meanwhile a later release may have switched a feature on."""
        require_openable(self._context.store)
