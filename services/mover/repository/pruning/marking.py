"""Walking what points need."""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from services.chassis.errors import DataLoss, FailedPrecondition, NotFound
from services.mover.repository.checkpoint import Checkpoint
from services.mover.repository.context import Context
from services.mover.repository.format.blob import BlobType
from services.mover.repository.format.names import point_name
from services.mover.repository.format.page import Entry, Page, decode_page
from services.mover.repository.format.point import RestorePoint, decode_body
from services.mover.repository.points import exists, listed_points
from services.mover.repository.pruning.liveset import LiveSet
from services.mover.repository.streamreader import stream_id_batches
from services.mover.repository.trash import Trashed, trashed

_BATCH: Final = 32


class Marker:
    """Marks every blob that something needs. Each page is read once, however many points share it.

    Costs memory for the id of each distinct page: one for a GiB of distinct disk content.
    """

    def __init__(self, context: Context, live: LiveSet) -> None:
        self._context = context
        self._live = live
        self._pages: set[bytes] = set()
        self.objects: set[str] = set()
        """Names of points and trash that are marked."""

    def mark_point(self, point_id: str) -> None:
        """Mark what a point needs; one that is gone meanwhile needs nothing.

        Raises FailedPrecondition when that cannot be known: then nothing may be deleted.
        """
        try:
            self._mark_object(point_name(point_id), point_id)
        except DataLoss as error:
            if not exists(self._context, point_name(point_id)):
                return
            raise FailedPrecondition(
                f"What point {point_id} needs cannot be known, so nothing may be deleted: {error.message}",
                reason="PRUNE_BLIND",
                hint="Take the damaged packs from a copy of the repository, or delete the point for good.",
                metadata={"point": point_id, **error.metadata},
            ) from error

    def mark_trashed(self, copy: Trashed) -> None:
        """Mark what a deleted point needs. One that is damaged keeps what of it can be found."""
        try:
            self._mark_object(copy.name, copy.point_id)
        except DataLoss as error:
            text = (
                f"Point {copy.point_id} in the trash is damaged, what only it needs may go: {error.message}"
            )
            self._context.on_notice("TRASH_DAMAGED", text)
            self.objects.add(copy.name)

    def mark_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Mark what an unfinished backup would go on from. What of it is damaged is read again anyway."""
        for disk in checkpoint.disks.values():
            for entry in disk.progress.entries.values():
                self._mark_entry(entry)
            for page_id in disk.progress.pages.values():
                if page_id is not None:
                    with contextlib.suppress(DataLoss):
                        self._mark_pages([page_id])

    def _mark_object(self, name: str, point_id: str) -> None:
        if name in self.objects:
            return
        try:
            body = self._context.objects.get("point", name, point_name(point_id))[1]
        except NotFound:
            return
        self._mark_contents(decode_body(body, name))
        self.objects.add(name)

    def _mark_contents(self, point: RestorePoint) -> None:
        self._mark_pages(disk.root for disk in point.disks if disk.root is not None)
        for ref in point.streams.values():
            for ids in stream_id_batches(self._context.reader, ref):
                for id_ in ids:
                    self._live.add(id_)

    def _mark_pages(self, roots: Iterable[bytes]) -> None:
        """Mark pages, all below them, all they differ from. A page counts as walked when all of that is."""
        pending = list(roots)
        walked: set[bytes] = set()
        while pending:
            wanted = [id_ for id_ in dict.fromkeys(pending) if id_ not in self._pages and id_ not in walked]
            pending = []
            for at in range(0, len(wanted), _BATCH):
                some = wanted[at : at + _BATCH]
                walked.update(some)
                found = self._context.reader.read_many(some, BlobType.PAGE)
                for id_ in some:
                    self._live.add(id_)
                    pending += self._mark_items(self._page(found[id_], id_))
        self._pages |= walked

    def _page(self, data: bytes | bytearray | memoryview, id_: bytes) -> Page:
        return decode_page(data, self._context.header.blocks_per_chunk, f"map page {id_.hex()}")

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


def mark_points(context: Context, marker: Marker, check: Callable[[], None]) -> None:
    """Mark every point, and every copy in the trash, that is not marked yet; ``check`` may stop between them.

    Points first: one that is deleted meanwhile is met again in the trash.
    """
    for point_id in listed_points(context):
        check()
        marker.mark_point(point_id)
    for copy in trashed(context):
        check()
        marker.mark_trashed(copy)
