"""Storing again, from a copy, what only damaged packs of a repository hold."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from services.chassis.errors import Cancelled, DataLoss
from services.mover.repository.context import Context
from services.mover.repository.copying.target import open_copy
from services.mover.repository.flow import Stopped
from services.mover.repository.format.blob import BlobType
from services.mover.repository.format.segment import PackRecord
from services.mover.repository.index import PackInfo
from services.mover.repository.indexing import index_packs, records_of
from services.mover.repository.pipeline import Pipeline
from services.mover.repository.plans import listed_plans
from services.mover.repository.ports import nobody
from services.mover.repository.request import BackupOptions
from services.mover.repository.store import Store

_BATCH: Final = 8
SAVED_PACKS: Final = 16
"""After so many damaged packs what was healed is saved."""


@dataclass(slots=True)
class HealReport:
    """Blobs that only damaged packs held: those stored again, and those the copy does not have whole."""

    damaged_packs: int = 0
    healed_blobs: int = 0
    stored_bytes: int = 0
    left_blobs: int = 0
    notices: list[tuple[str, str]] = field(default_factory=list)


def heal_from(
    context: Context,
    copy: Store,
    cache_dir: Path,
    options: BackupOptions,
    listener: Callable[[int, int], None] | None,
    cancel: threading.Event | None,
) -> HealReport:
    """Store again what ``copy`` has of it; raises as ``open_copy`` and ``Heal`` do."""
    notices: list[tuple[str, str]] = []

    def note(code: str, message: str) -> None:
        notices.append((code, message))

    there = open_copy(context, copy, cache_dir, note)
    try:
        report = Heal(context, there, options, listener, cancel).run()
    finally:
        there.index.close()
    report.notices = notices
    return report


class Heal:
    """Nothing is deleted: a prune removes the damaged packs, once nothing needs them.

    What is stored is indexed before anything counts on it; killed anywhere, a prune indexes or removes it.
    """

    def __init__(
        self,
        context: Context,
        copy: Context,
        options: BackupOptions,
        listener: Callable[[int, int], None] | None,
        cancel: threading.Event | None,
    ) -> None:
        """``listener`` hears of damaged packs in all and of those done."""
        self._context, self._copy, self._options = context, copy, options
        self._listener, self._cancel = listener, cancel
        self._report = HealReport()

    def run(self) -> HealReport:
        """Raises Cancelled, and what the repository's store raises."""
        plans = listed_plans(self._context)
        bad = [pack for pack in self._context.index.packs() if pack.damaged and not plans.hides(pack.sha256)]
        self._report.damaged_packs = len(bad)
        pipeline = Pipeline(self._context, self._options, plans, self._missing, nobody)
        pipeline.start()
        try:
            wanted = {pack.sha256: pack.kind for pack in bad}
            for done, record in enumerate(records_of(self._context, wanted)):
                self._tell(len(bad), done)
                for type_, ids in _lost(pipeline, record):
                    self._heal(pipeline, type_, ids, meta=record.kind == "meta")
                if (done + 1) % SAVED_PACKS == 0:
                    self._save(pipeline)
            self._save(pipeline)
        except BaseException as error:
            pipeline.flow.fail(_cancelled())
            if isinstance(error, Stopped):
                pipeline.flow.raise_failure()
            raise
        finally:
            pipeline.end()
        self._report.stored_bytes = pipeline.stored_bytes
        return self._report

    def _save(self, pipeline: Pipeline) -> None:
        """What is stored by now is durable and in the index: killed, nobody stores it again."""
        pipeline.drain()
        if stored := pipeline.ledger.unindexed():
            index_packs(self._context, stored, pipeline.ledger.indexed)

    def _heal(self, pipeline: Pipeline, type_: BlobType, ids: list[bytes], *, meta: bool) -> None:
        self._check()
        try:
            found = self._copy.reader.read_many(ids, type_)
        except DataLoss:
            if len(ids) == 1:
                self._report.left_blobs += 1
                return
            for id_ in ids:
                self._heal(pipeline, type_, [id_], meta=meta)
            return
        for id_ in ids:
            pipeline.writer.store(type_, bytes(found[id_]), meta=meta)
            self._report.healed_blobs += 1

    def _missing(self, pack: PackInfo) -> None:
        """It only looked undamaged: what it held is stored again as well."""
        self._context.report_damage(pack, "it is gone")
        self._context.on_notice(
            "PACK_MISSING", f"{pack.name} is gone; what it held is looked for in the copy."
        )

    def _tell(self, total: int, done: int) -> None:
        self._check()
        if self._listener is not None:
            self._listener(total, done)

    def _check(self) -> None:
        if self._cancel is not None and self._cancel.is_set():
            raise _cancelled()


def _cancelled() -> Cancelled:
    return Cancelled(
        "The repair from a copy was cancelled.",
        reason="HEAL_CANCELLED",
        hint="Start it again: what was healed stays so.",
    )


def _lost(pipeline: Pipeline, record: PackRecord) -> Iterator[tuple[BlobType, list[bytes]]]:
    """Blobs of the pack that no undamaged pack has, a few of one type at a time."""
    for type_ in BlobType:
        ids = [entry.id for entry in record.entries if entry.type is type_]
        lost = pipeline.ledger.missing(ids)
        wanted = [id_ for id_ in ids if id_ in lost]
        for at in range(0, len(wanted), _BATCH):
            yield type_, wanted[at : at + _BATCH]
