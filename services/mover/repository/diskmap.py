"""Reading a disk's map: the Merkle tree of pages (docs/repository-format.md, section 7)."""

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from services.mover.repository.format.blob import BlobType
from services.mover.repository.format.damaged import damaged
from services.mover.repository.format.names import MAX_DELTA_DEPTH, PAGE_ENTRIES
from services.mover.repository.format.page import Entry, Item, Page, decode_page
from services.mover.repository.reader import BlobReader

_CACHED_PAGES: Final = 64
_READ_AHEAD: Final = 32


@dataclass(frozen=True, slots=True)
class Shape:
    """A disk's size and how its map is built. ``size_bytes`` may be anything; the last chunk is padded."""

    size_bytes: int
    chunk_bytes: int

    @property
    def chunks(self) -> int:
        return -(-self.size_bytes // self.chunk_bytes)

    @property
    def levels(self) -> int:
        levels, reach = 1, PAGE_ENTRIES
        while reach < self.chunks:
            levels, reach = levels + 1, reach * PAGE_ENTRIES
        return levels


@dataclass(frozen=True, slots=True)
class ResolvedPage:
    """A page with its deltas applied: all non-hole items, and how deep the chain of deltas was."""

    items: dict[int, Item]
    depth: int


class DiskMap:
    """Pages of one root. Safe to use from several threads; keeps a bounded number of pages."""

    def __init__(self, reader: BlobReader, shape: Shape, root: bytes | None, blocks_per_chunk: int) -> None:
        self.shape = shape
        self.root = root
        self._reader = reader
        self._blocks = blocks_per_chunk
        self._cache: OrderedDict[bytes, ResolvedPage] = OrderedDict()
        self._lock = threading.Lock()

    def page_id(self, level: int, position: int) -> bytes | None:
        """The id of the page at ``position`` of ``level``; None when it is a hole or outside."""
        if level == self.shape.levels - 1:
            return self.root if position == 0 else None
        if level >= self.shape.levels:
            return None
        parent = self.page_id(level + 1, position // PAGE_ENTRIES)
        if parent is None:
            return None
        item = self.page(parent, level + 1).items.get(position % PAGE_ENTRIES)
        assert item is None or isinstance(item, bytes)
        return item

    def page(self, page_id: bytes, level: int) -> ResolvedPage:
        """Raises DataLoss when the page, or a base it differs from, is damaged or missing."""
        with self._lock:
            if page_id in self._cache:
                self._cache.move_to_end(page_id)
                return self._cache[page_id]
        return self._resolve(page_id, self._reader.read(page_id, BlobType.PAGE), level)

    def pages(self) -> Iterator[tuple[int, bytes]]:
        """Position and id of every level-0 page that is not a hole, ascending."""
        if self.root is not None:
            yield from self._descend(self.root, self.shape.levels - 1, 0)

    def entries(self) -> Iterator[tuple[int, Entry]]:
        """Index and entry of every chunk that is not a hole, ascending; reads pages in batches."""
        batch: list[tuple[int, bytes]] = []
        for numbered in self.pages():
            batch.append(numbered)
            if len(batch) == _READ_AHEAD:
                yield from self._entries_of(batch)
                batch = []
        yield from self._entries_of(batch)

    def _descend(self, page_id: bytes, level: int, position: int) -> Iterator[tuple[int, bytes]]:
        if level == 0:
            yield position, page_id
            return
        for index, child in sorted(self.page(page_id, level).items.items()):
            assert isinstance(child, bytes)
            yield from self._descend(child, level - 1, position * PAGE_ENTRIES + index)

    def _entries_of(self, pages: Sequence[tuple[int, bytes]]) -> Iterator[tuple[int, Entry]]:
        if not pages:
            return
        raw = self._reader.read_many([page_id for _, page_id in pages], BlobType.PAGE)
        for position, page_id in pages:
            for index, item in sorted(self._resolve(page_id, raw[page_id], 0).items.items()):
                assert isinstance(item, Entry)
                chunk = position * PAGE_ENTRIES + index
                if chunk < self.shape.chunks:
                    yield chunk, item

    def _resolve(self, page_id: bytes, data: bytes | bytearray | memoryview, level: int) -> ResolvedPage:
        chain: list[Page] = []
        what = f"map page {page_id.hex()}"
        page = decode_page(data, self._blocks, what)
        while True:
            if (
                page.level != level
                or len(chain) > MAX_DELTA_DEPTH
                or (chain and page.depth + 1 != chain[-1].depth)
            ):
                raise damaged(what, "it is not of the level or depth its place needs")
            chain.append(page)
            if page.base is None:
                break
            page = decode_page(self._reader.read(page.base, BlobType.PAGE), self._blocks, what)
        items: dict[int, Item] = {}
        for page in reversed(chain):
            items.update(page.items)
        resolved = ResolvedPage({i: item for i, item in items.items() if item is not None}, chain[0].depth)
        with self._lock:
            self._cache[page_id] = resolved
            while len(self._cache) > _CACHED_PAGES:
                self._cache.popitem(last=False)
        return resolved
