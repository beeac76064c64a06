"""The way of blobs into packs and of packs into the store, shared by all disks of a session."""

import threading
from collections.abc import Callable

from services.mover.repository.blobwriter import BlobWriter
from services.mover.repository.context import Context
from services.mover.repository.epochs import writing_epoch
from services.mover.repository.flow import Channel, Closed, Flow
from services.mover.repository.format.segment import PackRecord
from services.mover.repository.index import PackInfo
from services.mover.repository.ledger import Ledger
from services.mover.repository.packer import OpenPack, Packer, store_pack
from services.mover.repository.plans import Plans
from services.mover.repository.request import BackupOptions


class Pipeline:
    """Ledger, packers and uploader threads with one fate, ``flow``."""

    def __init__(
        self,
        context: Context,
        options: BackupOptions,
        plans: Plans,
        on_missing: Callable[[PackInfo], None],
        on_durable: Callable[[], None],
    ) -> None:
        """Nothing that ``plans`` hide is relied on.

        ``on_missing`` hears of packs the store lacks, ``on_durable`` of each pack stored.
        """
        self.flow = Flow()
        self.ledger = Ledger(context.index, context.store, plans, on_missing)
        self.stored_bytes = 0
        self._context = context
        self._uploads = options.uploads
        self._on_durable = on_durable
        self._lock = threading.Lock()
        self._full: Channel[OpenPack] = Channel(self.flow, options.uploads)
        epoch = writing_epoch(context)
        self._packers = {
            kind: Packer(
                flow=self.flow,
                full=self._full,
                keys=context.keys,
                epoch=epoch.epoch,
                epoch_record=epoch.encode(),
                kind=kind,
                pack_bytes=context.pack_bytes,
                most_packs=options.most_packs,
                entropy=context.entropy,
            )
            for kind in ("data", "meta")
        }
        self.writer = BlobWriter(
            self.flow,
            context.keys,
            self.ledger,
            self._packers["data"],
            self._packers["meta"],
            level=options.level,
            check=options.check,
        )

    def start(self) -> None:
        for n in range(self._uploads):
            self.flow.start(f"upload-{n}", self._upload)

    def cut_meta(self, at_least: int) -> None:
        """Store the open meta pack when it holds ``at_least`` bytes, so that a checkpoint may count on it."""
        self._packers["meta"].cut(at_least)

    def drain(self) -> None:
        """Store every pack, data before meta; raises Stopped when the flow fails."""
        for packer in self._packers.values():
            packer.drain()

    def end(self) -> None:
        """Let the uploaders go and wait for every thread of the flow."""
        self._full.close()
        self.flow.join()

    def _upload(self) -> None:
        while True:
            try:
                pack = self._full.get()
            except Closed:
                return
            store_pack(self._context.store, pack, self._stored)
            self._packers[pack.header.kind].recycle(pack)

    def _stored(self, record: PackRecord) -> None:
        self.ledger.durable(record)
        with self._lock:
            self.stored_bytes += record.size
        self._on_durable()
