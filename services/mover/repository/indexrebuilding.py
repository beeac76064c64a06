"""The index made anew from the packs alone."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, Protocol

from services.chassis.errors import Cancelled, DataLoss, NotFound
from services.mover.repository.context import Context, info_of
from services.mover.repository.format.names import PACKS
from services.mover.repository.format.segment import PackRecord
from services.mover.repository.index import PackInfo
from services.mover.repository.indexing import listed_segments, sync_index
from services.mover.repository.indexrewriting import absent_packs, drop_packs, replace_segments
from services.mover.repository.packlisting import PackListing, listed_packs
from services.mover.repository.packreader import read_record
from services.mover.repository.ports import nobody

_READERS: Final = 8
"""Packs that are looked into at a time: each takes three answers of the store."""


class RebuildListener(Protocol):
    """Hears of bytes of packs that are done, of how many; must return quickly."""

    def __call__(self, total: int, done: int, /) -> None: ...


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """How many packs were listed, and their bytes; read were their directories only."""

    packs: int
    pack_bytes: int


def rebuild_index(
    context: Context, listener: RebuildListener | None = None, cancel: threading.Event | None = None
) -> Rebuilt:
    """Write index segments from the packs alone and replace all others; others may write and prune meanwhile.

    A pack whose directory cannot be read is recorded as damaged. Killed or cancelled at any moment, the old
    segments or the new ones, or both, are there. Raises Cancelled.
    """
    old = sorted(listed_segments(context))
    told = listener or nobody
    with PackListing() as listing:
        listing.note(_packs(context))
        records = _Records(context, listing, told, cancel or threading.Event())
        replace_segments(context, iter(records), old)
        context.index.clear()
        sync_index(context)
        gone = absent_packs(context, listing)
        if gone:  # who pruned them meanwhile knew nothing of the new segments
            drop_packs(context, gone)
    return Rebuilt(records.packs, records.pack_bytes)


def adopt_packs(context: Context) -> int:
    """List in the index those packs that no segment lists, as when segments are lost; how many.

    What cannot be read, or goes meanwhile, is left out.
    """
    with PackListing() as listing, listed_packs(context.store) as listed:
        for batch in listed.batches():
            known = context.index.known_packs([pack.sha256 for pack in batch])
            listing.note((pack.sha256, pack.kind, pack.size) for pack in batch if pack.sha256 not in known)
        if not listing:
            return 0
        records = _Records(context, listing, nobody, threading.Event(), report=False)
        replace_segments(context, iter(records), [])
    text = (
        f"{records.packs} packs were in no index segment, and were looked into: they are of backups under way"
    )
    context.on_notice("PACKS_ADOPTED", f"{text}, or the index is damaged.")
    return records.packs


class _Records:
    """What is in the packs of a listing, a few at a time; ``report`` writes down which are damaged."""

    def __init__(
        self,
        context: Context,
        listing: PackListing,
        told: RebuildListener,
        cancel: threading.Event,
        *,
        report: bool = True,
    ) -> None:
        self._context, self._listing = context, listing
        self._told, self._cancel, self._report = told, cancel, report
        self.packs = self.pack_bytes = 0

    def __iter__(self) -> Iterator[PackRecord]:
        total, done = self._listing.total()[1], 0
        with ThreadPoolExecutor(_READERS, thread_name_prefix="rebuild") as pool:
            for batch in self._listing.batches():
                for at in range(0, len(batch), _READERS):
                    some = batch[at : at + _READERS]
                    self._check()
                    self._told(total, done)
                    for record in pool.map(self._read, some):
                        if record is not None:
                            self.packs, self.pack_bytes = self.packs + 1, self.pack_bytes + record.size
                            yield record
                    done += sum(pack.size for pack in some)
        self._told(total, done)

    def _read(self, pack: PackInfo) -> PackRecord | None:
        try:
            record = read_record(self._context.store, self._context.keys, pack.name, pack.size)
            if self._report:
                self._context.store.settle(pack.name)  # its writer may have died before it was durable
        except NotFound:
            return None  # it was pruned since it was listed
        except DataLoss as error:
            if self._report:
                self._context.report_damage(pack, error.message)
            self._context.on_notice("PACK_DAMAGED", error.message)
            return None
        return record

    def _check(self) -> None:
        if self._cancel.is_set():
            raise Cancelled(
                "The rebuild of the index was cancelled.",
                reason="REBUILD_CANCELLED",
                hint="Start it again: it begins anew, and the index is as complete as before.",
            )


def _packs(context: Context) -> Iterator[tuple[bytes, str, int]]:
    for stored in context.store.list(PACKS):
        pack = info_of(stored.name, stored.size)
        if pack is None:
            context.on_notice("UNKNOWN_OBJECT", f"{stored.name} is not a pack; it is left alone.")
        else:
            yield pack.sha256, pack.kind, pack.size
