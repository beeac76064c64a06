"""Which blobs a point needs, a few at a time, and each map page as often as its caller cares."""

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from services.mover.repository.context import Context
from services.mover.repository.format.blob import BlobType
from services.mover.repository.format.page import Entry, decode_page
from services.mover.repository.format.point import RestorePoint
from services.mover.repository.streamreader import stream_id_batches

_PAGES: Final = 32


def blobs_of(
    context: Context, point: RestorePoint, is_news: Callable[[bytes], bool]
) -> Iterator[list[bytes]]:
    """Ids of everything the point needs, but for what hangs on pages that are no news.

    Raises DataLoss when a page or list cannot be read.
    """
    yield from blobs_below(context, [disk.root for disk in point.disks if disk.root is not None], is_news)
    for ref in point.streams.values():
        yield from stream_id_batches(context.reader, ref)


def blobs_below(
    context: Context, roots: list[bytes], is_news: Callable[[bytes], bool]
) -> Iterator[list[bytes]]:
    """Ids of map pages, of the pages they differ from, and of all that is below them."""
    pending = roots
    while pending:
        wanted = [id_ for id_ in dict.fromkeys(pending) if is_news(id_)]
        pending = []
        for at in range(0, len(wanted), _PAGES):
            some = wanted[at : at + _PAGES]
            found = context.reader.read_many(some, BlobType.PAGE)
            for id_ in some:
                page = decode_page(found[id_], context.header.blocks_per_chunk, f"map page {id_.hex()}")
                pending += [page.base] if page.base is not None else []
                pending += [item for item in page.items.values() if isinstance(item, bytes)]
                yield [id_, *ids_of(item for item in page.items.values() if isinstance(item, Entry))]


def ids_of(entries: Iterable[Entry | None]) -> list[bytes]:
    return [id_ for entry in entries if entry is not None for id_ in entry.blob_ids()]
