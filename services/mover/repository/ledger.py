"""What a backup session knows about blobs: which exist, which are on their way, which are durable."""

import threading
from collections.abc import Callable, Iterable, Sequence

from services.chassis.errors import Internal, NotFound
from services.mover.repository.format.segment import PackRecord
from services.mover.repository.index import Index, PackInfo
from services.mover.repository.plans import Plans
from services.mover.repository.store import Store


class Ledger:
    """Deduplication against the index and against what is in flight. Safe to use from several threads.

    A blob only counts as existing when its pack is really in the store, so a stale index never makes a ghost.
    """

    def __init__(
        self, index: Index, store: Store, plans: Plans, on_missing: Callable[[PackInfo], None]
    ) -> None:
        """``on_missing`` hears of each pack that the index promises and the store does not have.

        What ``plans`` hide is not relied on: it may be about to go.
        """
        self._plans = plans
        self._index = index
        self._store = store
        self._on_missing = on_missing
        self._lock = threading.Lock()
        self._session: dict[bytes, bool] = {}
        self._present: dict[bytes, bool] = {}
        self._relied_on: dict[bytes, PackInfo] = {}
        self._unindexed: list[PackRecord] = []

    def claim(self, id_: bytes) -> bool:
        """True when the caller has to store the blob; False when it exists or somebody else stores it.

        From now on others count on the caller, so a claim is not given back: who cannot store the blob ends
        the session.
        """
        with self._lock:
            if id_ in self._session:
                return False
            self._session[id_] = False
        if any(self._usable(copy.pack) for copy in self._index.find([id_]).get(id_, ())):
            with self._lock:
                self._session.pop(id_, None)
            return False
        return True

    def missing(self, ids: Sequence[bytes]) -> set[bytes]:
        """Those of the blobs that are in no pack the store has."""
        copies = self._index.find(ids)
        return {id_ for id_ in ids if not any(self._usable(copy.pack) for copy in copies.get(id_, ()))}

    def is_durable(self, ids: Iterable[bytes]) -> bool:
        """Whether all these blobs, stored or found by this session, would survive a crash."""
        with self._lock:
            return all(self._session.get(id_, True) for id_ in ids)

    def require_stored(self) -> None:
        """Raises Internal when a blob that somebody was to store is not: a point would lack it."""
        with self._lock:
            lacking = next((id_ for id_, durable in self._session.items() if not durable), None)
        if lacking is not None:
            raise Internal(
                f"Chunk {lacking.hex()} was to be stored, and was not; no point was made.",
                reason="BLOB_NOT_STORED",
                hint="Start the backup again, and report this: it must not happen.",
            )

    def durable(self, record: PackRecord) -> None:
        """The pack is in the store; no index segment lists it yet."""
        with self._lock:
            self._unindexed.append(record)
            for entry in record.entries:
                self._session[entry.id] = True

    def recovered(self, record: PackRecord) -> None:
        """The pack was stored by an earlier attempt; no index segment lists it yet."""
        if not self._plans.hides(record.sha256):
            self.durable(record)

    def unindexed(self) -> list[PackRecord]:
        with self._lock:
            return list(self._unindexed)

    def indexed(self, records: Sequence[PackRecord]) -> None:
        """A durable index segment lists these packs, and the local index knows them."""
        names = {record.sha256 for record in records}
        with self._lock:
            self._unindexed = [record for record in self._unindexed if record.sha256 not in names]
            for record in records:
                for entry in record.entries:
                    self._session.pop(entry.id, None)

    def relied_on(self) -> list[PackInfo]:
        """Packs of others that this session deduplicated against."""
        with self._lock:
            return list(self._relied_on.values())

    def lost_packs(self) -> list[PackInfo]:
        """Packs this session relied on for deduplication that are not in the store any more."""
        return [pack for pack in self.relied_on() if not self._is_stored(pack)]

    def _usable(self, pack: PackInfo) -> bool:
        if pack.damaged or self._plans.hides(pack.sha256):
            return False
        with self._lock:
            known = self._present.get(pack.sha256)
        if known is not None:
            return known
        present = self._is_stored(pack)
        with self._lock:
            first = pack.sha256 not in self._present
            self._present[pack.sha256] = present
            if present:
                self._relied_on[pack.sha256] = pack
        if first and not present:
            self._on_missing(pack)
        return present

    def _is_stored(self, pack: PackInfo) -> bool:
        try:
            return self._store.size(pack.name) == pack.size
        except NotFound:
            return False
