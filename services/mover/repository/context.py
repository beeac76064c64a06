"""An opened repository as its parts see it."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Protocol

from services.chassis.errors import (
    DataLoss,
    FailedPrecondition,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    Unavailable,
)
from services.mover.repository.damage import DamagedPack, record_damage
from services.mover.repository.diskmap import DiskMap, Shape
from services.mover.repository.features import require_writable
from services.mover.repository.format.header import Header
from services.mover.repository.format.names import parse_pack_name
from services.mover.repository.format.page import Entry
from services.mover.repository.format.point import Disk
from services.mover.repository.format.segment import PackRecord, decode_segment
from services.mover.repository.index import Index, PackInfo
from services.mover.repository.keys import KeyRing
from services.mover.repository.objects import SealedObjects
from services.mover.repository.packreader import read_record
from services.mover.repository.ports import Time
from services.mover.repository.reader import BlobReader
from services.mover.repository.store import Store
from services.mover.repository.types import Entropy

_BATCH = 512


class Listener(Protocol):
    """Hears of what was less than expected: a stable code and a sentence."""

    def __call__(self, code: str, message: str, /) -> None: ...


@dataclass(frozen=True)
class Context:
    """Store, keys, index and readers of one repository, and what several verbs share."""

    store: Store
    keys: KeyRing
    header: Header
    index: Index
    objects: SealedObjects
    reader: BlobReader
    entropy: Entropy
    time: Time
    on_notice: Listener

    @property
    def chunk_bytes(self) -> int:
        return self.header.chunk_bytes

    @property
    def pack_bytes(self) -> int:
        return self.header.pack_bytes

    def now(self) -> str:
        """RFC 3339, UTC, whole seconds."""
        return self.time.now().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def disk_map(self, disk: Disk) -> DiskMap:
        shape = Shape(disk.size_bytes, self.chunk_bytes)
        return DiskMap(self.reader, shape, disk.root, self.header.blocks_per_chunk)

    def report_damage(self, pack: PackInfo, problem: str) -> None:
        """Quarantine a pack: it is out of deduplication from now on, here and wherever the record is read."""
        record_damage(self.store, DamagedPack(pack.sha256, pack.kind, problem, self.now()))
        self.index.add_damaged(pack.sha256)

    def quarantine(self, error: DataLoss) -> None:
        """Record the pack a read failed at, if the error names one; where nothing may be written, tell."""
        pack = info_of(error.metadata.get("object", ""))
        if pack is not None:
            self.report_if_writable(pack, error.message)
            self.on_notice("PACK_DAMAGED", error.message)

    def report_if_writable(self, pack: PackInfo, problem: str) -> None:
        """As ``report_damage`` by whoever only reads: where nothing may be written, tell."""
        try:
            require_writable(self.store, self.header)
            self.report_damage(pack, problem)
        except (PermissionDenied, FailedPrecondition, ResourceExhausted, Unavailable) as refused:
            self.on_notice("DAMAGE_NOT_RECORDED", f"{problem} {refused.message}")

    def damaged_chunks(self, disk: DiskMap) -> frozenset[int]:
        """Chunks whose content has no undamaged copy. Walks the map only when some pack is damaged."""
        if not self.index.has_damage():
            return frozenset()
        found: set[int] = set()
        batch: list[tuple[int, Entry]] = []
        for numbered in disk.entries():
            batch.append(numbered)
            if len(batch) == _BATCH:
                found |= self._without_copy(batch)
                batch = []
        return frozenset(found | self._without_copy(batch))

    def take_segment(self, sha256: bytes) -> None:
        """Take one segment in by name, whether or not a listing shows it."""
        if not self.index.has_segment(sha256):
            body = self.objects.get_segment(sha256)
            self.index.add_segment(sha256, decode_segment(body, f"index/{sha256.hex()}"))

    def recover_packs(self, segments: Sequence[str], unindexed: Sequence[str]) -> list[PackRecord]:
        """Records of a checkpoint's packs that no segment lists, those that are gone left out.

        Its segments are taken in by name first, since a listing may be late; one that is gone was merged.
        """
        for name in segments:
            with contextlib.suppress(NotFound, DataLoss):
                self.take_segment(bytes.fromhex(name))
        records = []
        for name in unindexed:
            with contextlib.suppress(NotFound, DataLoss):
                records.append(read_record(self.store, self.keys, name, self.store.size(name)))
        return records

    def _without_copy(self, entries: Sequence[tuple[int, Entry]]) -> set[int]:
        ids = [id_ for _, entry in entries for id_ in entry.blob_ids()]
        copies = self.index.find(ids)
        lost = {id_ for id_ in ids if not any(not c.pack.damaged for c in copies.get(id_, ()))}
        return {chunk for chunk, entry in entries if lost.intersection(entry.blob_ids())}


def info_of(name: str, size: int = 0) -> PackInfo | None:
    """A pack known by name only; None when the name is not a pack's."""
    parsed = parse_pack_name(name)
    return PackInfo(parsed[1], parsed[0], size, 0, b"") if parsed else None
