"""Storing again what is needed of packs that hold little of it."""

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from services.chassis.errors import Cancelled, DataLoss
from services.mover.repository.context import Context
from services.mover.repository.flow import Stopped
from services.mover.repository.format.blob import BlobEntry, BlobType
from services.mover.repository.format.segment import PackRecord
from services.mover.repository.index import PackInfo
from services.mover.repository.indexing import index_packs
from services.mover.repository.pipeline import Pipeline
from services.mover.repository.plans import Plans
from services.mover.repository.ports import nobody
from services.mover.repository.pruning.liveset import LiveSet
from services.mover.repository.request import BackupOptions

_BATCH: Final = 8


def repack(
    context: Context,
    sources: Iterable[PackRecord],
    live: LiveSet,
    plans: Plans,
    options: BackupOptions,
    copied: Callable[[int], None],
) -> int:
    """Store every live blob of ``sources`` that has no copy outside what ``plans`` hide; bytes stored.

    ``copied`` hears of sealed bytes that are done, and may stop it. The new packs are durable and indexed on
    return. What cannot be read stays where it is.
    """

    def missing(pack: PackInfo) -> None:
        context.on_notice("PACK_MISSING", f"{pack.name} is gone; a verification says what that costs.")

    pipeline = Pipeline(context, options, plans, missing, nobody)
    pipeline.start()
    try:
        for record in sources:
            copied(0)
            for type_, entries in _wanted(record, live):
                _copy(context, pipeline, type_, [e.id for e in entries], meta=record.kind == "meta")
                copied(sum(entry.stored for entry in entries))
        pipeline.drain()
        index_packs(context, pipeline.ledger.unindexed(), pipeline.ledger.indexed)
    except BaseException as error:
        pipeline.flow.fail(_given_up())
        if isinstance(error, Stopped):
            pipeline.flow.raise_failure()
        raise
    finally:
        pipeline.end()
    return pipeline.stored_bytes


def _copy(context: Context, pipeline: Pipeline, type_: BlobType, ids: list[bytes], *, meta: bool) -> None:
    try:
        found = context.reader.read_many(ids, type_)
    except DataLoss as error:
        if len(ids) == 1:
            context.quarantine(error)
            return
        for id_ in ids:
            _copy(context, pipeline, type_, [id_], meta=meta)
        return
    for id_ in ids:
        pipeline.writer.store(type_, bytes(found[id_]), meta=meta)


def _wanted(record: PackRecord, live: LiveSet) -> Iterator[tuple[BlobType, list[BlobEntry]]]:
    """Live blobs of the pack, a few of one type at a time."""
    for type_ in BlobType:
        entries = [entry for entry in record.entries if entry.type is type_ and entry.id in live]
        for at in range(0, len(entries), _BATCH):
            yield type_, entries[at : at + _BATCH]


def _given_up() -> Cancelled:
    return Cancelled("The prune was given up.", reason="PRUNE_STOPPED", hint="Start it again.")
