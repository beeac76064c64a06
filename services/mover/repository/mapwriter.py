"""Writing a disk's map: pages are stored as soon as their last chunk is known."""

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from services.mover.repository.blobwriter import BlobWriter
from services.mover.repository.diskmap import DiskMap, Shape
from services.mover.repository.format.blob import BlobType
from services.mover.repository.format.names import PAGE_ENTRIES
from services.mover.repository.format.page import Entry, Item, ItemReader, Page, encode_item, encode_page

_DELTA_DEPTH: Final = 4
_DELTA_SHARE: Final = 4


@dataclass
class _OpenPage:
    base_id: bytes | None
    base_items: dict[int, Item]
    base_depth: int
    entries: dict[int, Entry | None] = field(default_factory=dict)
    waiting: int = 0
    closed: bool = False


@dataclass
class _UnsettledPage:
    """A stored page that is not known to be durable: what a checkpoint has to repeat."""

    page_id: bytes | None
    entries: bytes


@dataclass(frozen=True, slots=True)
class MapProgress:
    """What is durable of a map: level-0 pages by position, and entries of pages that are not finished."""

    pages: dict[int, bytes | None]
    entries: dict[int, Entry | None]


class MapWriter:
    """The map of one disk in one session: ``expect`` and ``done`` each chunk, ``close`` pages, ``finish``.

    Chunks are expected in ascending order by one planner; they may be done by any thread in any order.
    """

    def __init__(self, writer: BlobWriter, shape: Shape, base: DiskMap | None) -> None:
        """``base`` is the map of the point to increment from, of a disk that was not larger."""
        self._writer = writer
        self._shape = shape
        self._base = base
        self._lock = threading.Lock()
        self._open: dict[int, _OpenPage] = {}
        self._unsettled: dict[int, _UnsettledPage] = {}
        self._settled: dict[int, bytes | None] = {}

    def adopt(self, pages: dict[int, bytes | None]) -> None:
        """Take level-0 pages over from a checkpoint."""
        self._settled.update(pages)

    def base_entry(self, chunk: int) -> Entry | None:
        item = self._page_of(chunk).base_items.get(chunk % PAGE_ENTRIES)
        assert item is None or isinstance(item, Entry)
        return item

    def expect(self, chunk: int) -> None:
        page = self._page_of(chunk)
        with self._lock:
            page.waiting += 1

    def done(self, chunk: int, entry: Entry | None) -> None:
        position, index = divmod(chunk, PAGE_ENTRIES)
        with self._lock:
            page = self._open[position]
            page.entries[index] = entry
            page.waiting -= 1
            complete = page.closed and not page.waiting
        if complete:
            self._store_page(position, page)

    def close(self, position: int) -> None:
        """No chunk of this page will be expected any more."""
        with self._lock:
            page = self._open.get(position)
            if page is None:
                return
            page.closed = True
            complete = not page.waiting
        if complete:
            self._store_page(position, page)

    def progress(self, durable: Callable[[Iterable[bytes]], bool]) -> MapProgress:
        """What a checkpoint may rely on; ``durable`` says whether blobs survive a crash."""
        entries: dict[int, Entry | None] = {}
        with self._lock:
            unsettled = dict(self._unsettled)
            running = {position: dict(page.entries) for position, page in self._open.items()}
        for position, page in unsettled.items():
            decoded = decode_entries(page.entries, self._shape.chunk_bytes)
            ids = [id_ for entry in decoded.values() if entry for id_ in entry.blob_ids()]
            if durable([*ids, page.page_id] if page.page_id else ids):
                with self._lock:
                    self._settled[position] = page.page_id
                    self._unsettled.pop(position, None)
            else:
                entries.update(decoded)
        for position, items in running.items():
            entries.update({position * PAGE_ENTRIES + index: item for index, item in items.items()})
        kept = {chunk: e for chunk, e in entries.items() if e is None or durable(e.blob_ids())}
        with self._lock:
            return MapProgress(dict(self._settled), kept)

    def finish(self) -> bytes | None:
        """The root of the new map, every page stored; call when all chunks are done."""
        assert not self._open, "every page is closed and complete"
        changed = self._settled | {p: page.page_id for p, page in self._unsettled.items()}
        base_levels = self._base.shape.levels if self._base else 1
        for level in range(1, self._shape.levels):
            if level == base_levels and self._base is not None:
                changed.setdefault(0, self._base.root)
            changed = self._next_level(level, changed)
        if 0 in changed:
            return changed[0]
        return self._base.root if self._base is not None else None

    def _next_level(self, level: int, children: dict[int, bytes | None]) -> dict[int, bytes | None]:
        parents: dict[int, dict[int, Item]] = {}
        for position, child in children.items():
            parents.setdefault(position // PAGE_ENTRIES, {})[position % PAGE_ENTRIES] = child
        result: dict[int, bytes | None] = {}
        for position, items in parents.items():
            base_id, base_items, depth = self._base_page(level, position)
            page_id = self._encode(level, base_id, base_items, depth, items)
            if page_id != base_id or self._base is None:
                result[position] = page_id
        return result

    def _page_of(self, chunk: int) -> _OpenPage:
        position = chunk // PAGE_ENTRIES
        with self._lock:
            page = self._open.get(position)
        if page is None:
            page = _OpenPage(*self._base_page(0, position))
            with self._lock:
                self._open[position] = page
        return page

    def _base_page(self, level: int, position: int) -> tuple[bytes | None, dict[int, Item], int]:
        base_id = self._base.page_id(level, position) if self._base is not None else None
        if base_id is None or self._base is None:
            return None, {}, 0
        page = self._base.page(base_id, level)
        return base_id, page.items, page.depth

    def _store_page(self, position: int, page: _OpenPage) -> None:
        items: dict[int, Item] = dict(page.entries)
        page_id = self._encode(0, page.base_id, page.base_items, page.base_depth, items)
        entries = encode_entries({position * PAGE_ENTRIES + i: e for i, e in page.entries.items()})
        with self._lock:
            if page_id != page.base_id or self._base is None:
                self._unsettled[position] = _UnsettledPage(page_id, entries)
            del self._open[position]

    def _encode(
        self,
        level: int,
        base_id: bytes | None,
        base_items: dict[int, Item],
        base_depth: int,
        items: dict[int, Item],
    ) -> bytes | None:
        changes = {index: item for index, item in items.items() if base_items.get(index) != item}
        if not changes:
            return base_id
        merged = {index: item for index, item in (base_items | changes).items() if item is not None}
        if not merged:
            return None
        data = encode_page(Page(level, merged))
        if base_id is not None and base_depth < _DELTA_DEPTH:
            delta = encode_page(Page(level, changes, base_depth + 1, base_id))
            if len(delta) * _DELTA_SHARE < len(data):
                data = delta
        return self._writer.store(BlobType.PAGE, data)


def encode_entries(entries: dict[int, Entry | None]) -> bytes:
    """Chunk index (8 bytes) and entry, repeated, as checkpoints keep them."""
    return b"".join(chunk.to_bytes(8, "little") + encode_item(entry) for chunk, entry in entries.items())


def decode_entries(data: bytes, chunk_bytes: int, what: str = "the checkpoint") -> dict[int, Entry | None]:
    """The reverse; raises DataLoss naming ``what`` when the bytes are no entries."""
    reader = ItemReader(data, chunk_bytes >> 16, what)
    entries: dict[int, Entry | None] = {}
    while reader.left:
        chunk = int.from_bytes(reader.take(8), "little")
        item = reader.item(0)
        assert item is None or isinstance(item, Entry)
        entries[chunk] = item
    return entries
