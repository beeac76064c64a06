"""Carrying a plan out: deleting what is still needed by nobody."""

import contextlib
import threading
from collections.abc import Callable
from datetime import datetime

from services.chassis.errors import NotFound, PermissionDenied
from services.mover.repository.context import Context
from services.mover.repository.damage import forget_damage
from services.mover.repository.format.names import pack_name
from services.mover.repository.format.plan import Plan
from services.mover.repository.format.segment import PackRecord
from services.mover.repository.index import PackInfo
from services.mover.repository.indexing import records_of
from services.mover.repository.indexrewriting import drop_packs
from services.mover.repository.locks import locked_until
from services.mover.repository.parallel import for_each
from services.mover.repository.plans import listed_plans
from services.mover.repository.pruning.liveset import LiveSet


class Sweep:
    """One plan that no older writer keeps waiting, with everything marked that anybody needs."""

    def __init__(
        self,
        context: Context,
        plan: Plan,
        live: LiveSet,
        check: Callable[[], None],
        on_deleted: Callable[[int], None],
    ) -> None:
        """``check`` may stop between deletions; ``on_deleted`` hears of the size of each deleted pack."""
        self._context = context
        self._plan = plan
        self._live = live
        self._check = check
        self._on_deleted = on_deleted
        self._lock = threading.Lock()
        self._sizes: dict[bytes, int | None] = {}
        self._stay: set[bytes] = set()
        self.locked: list[tuple[int, datetime]] = []
        """Size of packs that nobody may delete yet, and until when: they were locked after the plan."""

    def run(self, workers: int) -> int:
        """Delete, meta packs first, then the index entries, then the plan; how many packs were kept."""
        packs = self._plan.packs
        self._others = listed_plans(self._context)  # the look that two who prune owe each other
        kept = self._needed()
        for wanted in ("meta", "data"):
            going = [sha256 for sha256, kind in packs.items() if kind == wanted and sha256 not in kept]
            for_each(going, self._delete, workers)
        drop_packs(self._context, packs.keys() - kept - self._stay)
        with contextlib.suppress(NotFound):
            self._context.store.delete(self._plan.name)
        return len(kept)

    def _needed(self) -> set[bytes]:
        """Packs that stay: with what nobody else has, or with nobody knows what."""
        unknown, needed = dict(self._plan.packs), set()
        for record in records_of(self._context, self._plan.packs):
            del unknown[record.sha256]
            if self._is_needed(record):
                needed.add(record.sha256)
        return needed | {sha256 for sha256, kind in unknown.items() if self._size(sha256, kind) is not None}

    def _is_needed(self, record: PackRecord) -> bool:
        ids = [entry.id for entry in record.entries if entry.id in self._live]
        copies = self._context.index.find(ids)
        return not all(any(self._counts(copy.pack) for copy in copies.get(id_, ())) for id_ in ids)

    def _counts(self, pack: PackInfo) -> bool:
        """Whether a copy in this pack makes another one unnecessary."""
        if pack.damaged or pack.sha256 in self._plan.packs or self._others.hides(pack.sha256):
            return False
        return self._size(pack.sha256, pack.kind) == pack.size

    def _size(self, sha256: bytes, kind: str) -> int | None:
        if sha256 not in self._sizes:
            try:
                self._sizes[sha256] = self._context.store.size(pack_name(kind, sha256))
            except NotFound:
                self._sizes[sha256] = None
        return self._sizes[sha256]

    def _delete(self, sha256: bytes) -> None:
        self._check()
        kind = self._plan.packs[sha256]
        try:
            size = self._context.store.size(pack_name(kind, sha256))
            self._context.store.delete(pack_name(kind, sha256))
        except NotFound:
            return  # by an earlier attempt, or by somebody else who prunes
        except PermissionDenied:
            until = locked_until(self._context.store, pack_name(kind, sha256))
            if until is None:
                raise
            with self._lock:
                self._stay.add(sha256)
                self.locked.append((size, until))
            return
        with contextlib.suppress(NotFound):
            forget_damage(self._context.store, sha256)
        with self._lock:
            self._on_deleted(size)
