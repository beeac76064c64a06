"""Walking what points need."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, islice
from types import TracebackType
from typing import Final, Self, TypeVar

from services.chassis.errors import DataLoss, FailedPrecondition, NotFound
from services.mover.repository.checkpoint import Checkpoint
from services.mover.repository.context import Context
from services.mover.repository.format.blob import BlobType
from services.mover.repository.format.names import point_name
from services.mover.repository.format.page import Entry, Page, decode_page
from services.mover.repository.format.point import RestorePoint, decode_body
from services.mover.repository.points import exists, listed_points
from services.mover.repository.pruning.liveset import LiveSet
from services.mover.repository.pruning.walkedpages import WalkedPages
from services.mover.repository.streamreader import stream_id_batches
from services.mover.repository.trash import Trashed, trashed

T = TypeVar("T")

_POINTS: Final = 32
"""Are walked together: stores that answer slowly are asked for many things at once."""
_PAGES: Final = 32

Named = tuple[str, str]
"""Name of an object that is a point, and the point's id."""


class Marker:
    """Marks every blob that something needs. Each page is read once, however many points share it.

    A context manager, used by one thread; ``workers`` read for it.
    """

    def __init__(self, context: Context, live: LiveSet, workers: int) -> None:
        self._context = context
        self._live = live
        self._workers = workers
        self._walked = WalkedPages()
        self._readers = ThreadPoolExecutor(workers, thread_name_prefix="mark")
        self.objects: set[str] = set()
        """Names of points and trash that are marked."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._readers.shutdown(cancel_futures=True)
        self._walked.close()

    def mark_points(self, point_ids: Sequence[str]) -> None:
        """Mark what points need; one that is gone meanwhile needs nothing.

        Raises FailedPrecondition when that cannot be known: then nothing may be deleted.
        """
        self._mark([(point_name(point_id), point_id) for point_id in point_ids], self._refuse)

    def mark_trashed(self, copies: Sequence[Trashed]) -> None:
        """Mark what deleted points need. One that is damaged keeps what of it can be found."""
        self._mark([(copy.name, copy.point_id) for copy in copies], self._tell)

    def mark_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Mark what an unfinished backup would go on from. What of it is damaged is read again anyway."""
        for disk in checkpoint.disks.values():
            for entry in disk.progress.entries.values():
                self._mark_entry(entry)
            for page_id in disk.progress.pages.values():
                if page_id is not None:
                    with contextlib.suppress(DataLoss):
                        self._mark_pages([page_id])

    def _mark(self, wanted: Sequence[Named], on_damage: Callable[[Named, DataLoss], None]) -> None:
        """All at once, or one by one to find out which of them is damaged."""
        new = [named for named in wanted if named[0] not in self.objects]
        try:
            self._mark_all(new)
            return
        except DataLoss:
            pass
        for named in new:
            try:
                self._mark_all([named])
            except DataLoss as error:
                on_damage(named, error)

    def _refuse(self, named: Named, error: DataLoss) -> None:
        name, point_id = named
        if not exists(self._context, name):
            return
        raise FailedPrecondition(
            f"What point {point_id} needs cannot be known, so nothing may be deleted: {error.message}",
            reason="PRUNE_BLIND",
            hint="Take the damaged packs from a copy of the repository, or delete the point for good.",
            metadata={"point": point_id, **error.metadata},
        ) from error

    def _tell(self, named: Named, error: DataLoss) -> None:
        text = f"Point {named[1]} in the trash is damaged, what only it needs may go: {error.message}"
        self._context.on_notice("TRASH_DAMAGED", text)
        self.objects.add(named[0])

    def _mark_all(self, wanted: Sequence[Named]) -> None:
        points = [*self._readers.map(self._read, wanted)]
        there = [point for point in points if point is not None]
        self._mark_pages(disk.root for point in there for disk in point.disks if disk.root is not None)
        for ref in chain.from_iterable(point.streams.values() for point in there):
            for ids in stream_id_batches(self._context.reader, ref):
                for id_ in ids:
                    self._live.add(id_)
        self.objects.update(
            name for (name, _), point in zip(wanted, points, strict=True) if point is not None
        )

    def _read(self, named: Named) -> RestorePoint | None:
        name, point_id = named
        try:
            return decode_body(self._context.objects.get("point", name, point_name(point_id))[1], name)
        except NotFound:
            return None

    def _mark_pages(self, roots: Iterable[bytes]) -> None:
        """Mark pages, all below them, all they differ from. A page counts as walked when all of that is."""
        pending = list(roots)
        with self._walked.transaction():
            while pending:
                some, pending = pending[-_PAGES * self._workers :], pending[: -_PAGES * self._workers]
                for pages in self._readers.map(self._read_pages, _batches(self._walked.note(some), _PAGES)):
                    for id_, page in pages:
                        self._live.add(id_)
                        pending += self._mark_items(page)

    def _read_pages(self, ids: Sequence[bytes]) -> list[tuple[bytes, Page]]:
        found = self._context.reader.read_many(ids, BlobType.PAGE)
        blocks = self._context.header.blocks_per_chunk
        return [(id_, decode_page(found[id_], blocks, f"map page {id_.hex()}")) for id_ in ids]

    def _mark_items(self, page: Page) -> Iterator[bytes]:
        """Marks blobs the page names, and gives out pages it names."""
        if page.base is not None:
            yield page.base
        for item in page.items.values():
            if isinstance(item, bytes):
                yield item
            else:
                self._mark_entry(item)

    def _mark_entry(self, entry: Entry | None) -> None:
        if entry is not None:
            for id_ in entry.blob_ids():
                self._live.add(id_)


def mark_everything(context: Context, marker: Marker, check: Callable[[], None]) -> None:
    """Mark every point, and every copy in the trash, that is not marked yet; ``check`` may stop between them.

    Points first: one that is deleted meanwhile is met again in the trash.
    """
    for point_ids in _batches(listed_points(context), _POINTS):
        check()
        marker.mark_points(point_ids)
    for copies in _batches(trashed(context), _POINTS):
        check()
        marker.mark_trashed(copies)


def _batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    waiting = iter(items)
    while batch := list(islice(waiting, size)):
        yield batch
