"""Fills a hollow repository: real maps, points and index segments, of chunks that nobody ever stored."""

import random
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Final

from services.mover.repository import BackupOptions, Repository
from services.mover.repository.context import Context
from services.mover.repository.diskmap import Shape as DiskShape
from services.mover.repository.format.blob import BlobEntry, BlobType
from services.mover.repository.format.names import PAGE_ENTRIES, point_name
from services.mover.repository.format.page import Entry, Item, Page, encode_page
from services.mover.repository.format.point import Disk, RestorePoint, encode_body, public_part
from services.mover.repository.format.segment import (
    WRITTEN_BLOBS,
    PackRecord,
    encode_segment,
    split_into_segments,
)
from services.mover.repository.pipeline import Pipeline
from services.mover.repository.plans import Plans
from tests.scale.hollow_store import PACK_BYTES, hollow_pack
from tests.scale.shape import CHUNKS_A_PACK, MIB, Shape

_STORED: Final = 512 << 10
_DEEPEST: Final = 4
OPTIONS: Final = BackupOptions(workers=1, uploads=1)


class HollowMap:
    """One disk's map from point to point: pages as a backup writes them, most of them differences."""

    def __init__(self, levels: int) -> None:
        self._levels = levels
        self._items: dict[tuple[int, int], dict[int, Item]] = {}
        self._stored: dict[tuple[int, int], tuple[bytes, int]] = {}

    def change(self, pipeline: Pipeline, changes: Mapping[int, Item]) -> bytes:
        """Store what is new; the id of the root. ``changes`` are entries by chunk."""
        for level in range(self._levels):
            pages: dict[int, dict[int, Item]] = {}
            for at, item in changes.items():
                pages.setdefault(at // PAGE_ENTRIES, {})[at % PAGE_ENTRIES] = item
            changes = {at: self._page(pipeline, level, at, items) for at, items in pages.items()}
        root = changes[0]
        assert isinstance(root, bytes)
        return root

    def _page(self, pipeline: Pipeline, level: int, at: int, changed: dict[int, Item]) -> bytes:
        items = self._items.setdefault((level, at), {})
        items |= changed
        base, depth = self._stored.get((level, at), (None, _DEEPEST))
        if depth < _DEEPEST and len(changed) * 4 < len(items):
            depth += 1
            page = Page(level, changed, depth, base)
        else:
            depth = 0
            page = Page(level, items)
        id_ = pipeline.writer.store(BlobType.PAGE, encode_page(page))
        self._stored[level, at] = (id_, depth)
        return id_


class Builder:
    """Makes point after point, disk by disk in turns, as nightly backups do.

    Index segments are as they are after small ones were merged.
    """

    def __init__(self, repository: Repository, shape: Shape) -> None:
        self._context: Context = repository._context
        self._shape = shape
        self._ids = random.Random(7)
        self._packs = 0
        self._levels = DiskShape(shape.disk_bytes, self._context.chunk_bytes).levels
        self._maps = [HollowMap(self._levels) for _ in range(shape.disks)]
        self._waiting: list[PackRecord] = []

    def run(self) -> None:
        for number in range(self._shape.points):
            generation, disk = divmod(number, self._shape.disks)
            changed = self._shape.changed(generation) if generation else range(self._shape.disk_chunks)
            self._point(f"disk-{disk:04d}-{generation:05d}", disk, list(changed), full=not generation)
        self._index(0)

    def _point(self, point_id: str, disk: int, changed: Sequence[int], *, full: bool) -> None:
        pipeline = Pipeline(self._context, OPTIONS, Plans(), lambda _: None, lambda: None)
        pipeline.start()
        ids = [self._ids.randbytes(32) for _ in changed]
        root = self._maps[disk].change(pipeline, dict(zip(changed, map(Entry, ids), strict=True)))
        pipeline.drain()
        pipeline.end()
        self._waiting += [*self._hollow(ids), *pipeline.ledger.unindexed()]
        self._index(WRITTEN_BLOBS)
        described = Disk(f"disk-{disk}", "", self._shape.disk_bytes, root, "full" if full else "incremental")
        point = RestorePoint(
            point_id=point_id,
            base_point=None,
            asset={"id": f"vm-{disk}", "name": f"vm {disk}"},
            method="normal",
            consistency="crash",
            level=described.level,
            snapshot_time="2026-01-01T00:00:00Z",
            commit_time="2026-01-01T00:05:00Z",
            disks=(described,),
            streams={},
            notices=(),
            statistics={},
            document={},
        )
        self._context.objects.put(
            "point", point_name(point_id), public_part(point_id, []), encode_body(point)
        )

    def _index(self, more_than: int) -> None:
        """Write what waits into segments, when it is many blobs; nobody looks anything up here."""
        if sum(len(record.entries) for record in self._waiting) > more_than:
            for segment in split_into_segments(self._waiting):
                self._context.objects.put_segment(encode_segment(segment))
            self._waiting = []

    def _hollow(self, ids: Sequence[bytes]) -> Iterator[PackRecord]:
        waiting = iter(ids)
        while some := list(islice(waiting, CHUNKS_A_PACK)):
            entries = tuple(BlobEntry(id_, BlobType.CHUNK, 1, MIB, _STORED) for id_ in some)
            yield PackRecord(hollow_pack(self._packs), PACK_BYTES, "data", 1, bytes(32), entries)
            self._packs += 1
