"""The local, disposable cache of the index: which pack holds which blob, in SQLite on disk.

The truth is the index segments in the repository. An entry costs less than 100 bytes on disk and none in
memory.
"""

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from services.mover.repository.format.blob import ENTRY, BlobEntry, BlobType
from services.mover.repository.format.crypto import TAG_BYTES
from services.mover.repository.format.names import pack_name
from services.mover.repository.format.pack import FOOTER_BYTES, HEADER_BYTES, KINDS
from services.mover.repository.format.segment import PackRecord, Segment
from services.mover.repository.indexfile import IndexFile
from services.mover.repository.indexintake import TYPE_SHIFT, Intake
from services.mover.repository.indexrepair import forget_pack, replace_pack

_BATCH: Final = 500
_SCAN: Final = 10_000
_HASH_BYTES: Final = 32
_HASH_AND_SALT_BYTES: Final = 64
_KIND_NAMES: Final = {code: name for name, code in KINDS.items()}
_FIND: Final = """
SELECT b.id, b.slot, b.at, b.stored, b.plain, b.kind, p.sha256, p.kind, p.size, p.epoch, p.salt, p.damaged
FROM blobs b JOIN packs p ON p.n = b.pack WHERE b.id IN ({marks}) ORDER BY p.damaged, p.n
"""
_KNOWN: Final = "SELECT b.id FROM blobs b JOIN packs p ON p.n = b.pack WHERE b.id IN ({marks})"
_COPIES_AFTER: Final = """
SELECT b.id, b.pack, b.stored FROM blobs b CROSS JOIN packs p ON p.n = b.pack
WHERE (b.id, b.pack) > (?, ?) ORDER BY b.id, b.pack LIMIT ?
"""
_PACKS_AFTER: Final = """
SELECT n, blobs, sha256, kind, size, epoch, salt, damaged FROM packs WHERE n > ? ORDER BY n LIMIT ?
"""


@dataclass(frozen=True, slots=True)
class PackInfo:
    """A pack as the index knows it; ``size`` in bytes."""

    sha256: bytes
    kind: str
    size: int
    epoch: int
    salt: bytes
    damaged: bool = False

    @property
    def name(self) -> str:
        return pack_name(self.kind, self.sha256)

    def is_of(self, record: PackRecord) -> bool:
        """Whether all it says of the pack is what a segment says of it."""
        said = (record.sha256, record.kind, record.size, record.epoch, record.salt)
        return said == (self.sha256, self.kind, self.size, self.epoch, self.salt)


@dataclass(frozen=True, slots=True)
class Location:
    """Where one copy of a blob is: the pack, its slot, and its offset in bytes."""

    pack: PackInfo
    slot: int
    offset: int
    entry: BlobEntry


@dataclass(frozen=True, slots=True)
class IndexedPack:
    """A pack under the ``number`` that ``Index.copies`` calls it by, and how many blobs it has."""

    number: int
    pack: PackInfo
    blobs: int

    @property
    def sealed_bytes(self) -> int:
        """Of its blobs together."""
        return self.pack.size - HEADER_BYTES - FOOTER_BYTES - TAG_BYTES - self.blobs * ENTRY.size


class Index:
    """One cache file of one repository in one store; several threads and processes may share it.

    Raises ResourceExhausted and Unavailable as ``IndexFile`` does.
    """

    def __init__(self, path: Path) -> None:
        self._file = IndexFile(path)
        self._taking = threading.Lock()

    def close(self) -> None:
        self._file.close()

    def clear(self) -> None:
        with self._file.transaction() as db:
            for table in ("blobs", "packs", "segments", "listed_too"):
                db.execute(f"DELETE FROM {table}")  # noqa: S608 - literal names
            db.execute("UPDATE orphans SET blobs = 0")

    def segments(self) -> dict[bytes, bool]:
        """Every segment taken in, and whether another one supersedes it."""
        with self._file.reading() as db:
            rows = db.execute("SELECT name, superseded FROM segments")
            return {_hash(name): bool(superseded) for name, superseded in rows}

    def has_segment(self, name: bytes) -> bool:
        with self._file.reading() as db:
            return db.execute("SELECT 1 FROM segments WHERE name = ?", (name,)).fetchone() is not None

    def small_segments(self, blobs: int) -> list[bytes]:
        """Segments with fewer ``blobs`` that nothing supersedes."""
        query = "SELECT name FROM segments WHERE NOT superseded AND blobs < ? ORDER BY name"
        with self._file.reading() as db:
            return [_hash(row[0]) for row in db.execute(query, (blobs,))]

    def add_segment(self, name: bytes, segment: Segment) -> None:
        """Take a segment in, once; what it supersedes goes, packs it does not repeat included."""
        with self.intake() as intake:
            intake.add(name, segment)

    @contextmanager
    def intake(self) -> Iterator[Intake]:
        """Take several in; they count when the block is left without an error, all at once."""
        with self._taking:
            intake = Intake(self._file)
            yield intake
            intake.finish()

    def replace_pack(self, record: PackRecord, segment: bytes) -> None:
        """What the repository says of a pack, in place of what was known of it, and under another number.

        ``segment`` lists it, if it was not known at all.
        """
        with self._file.transaction() as db:
            replace_pack(db, record, segment)

    def forget_pack(self, sha256: bytes) -> None:
        """One that the repository does not have."""
        with self._file.transaction() as db:
            forget_pack(db, sha256)

    def mark_damaged(self, packs: Iterable[bytes]) -> None:
        """Exactly these packs are damaged from now on."""
        with self._file.transaction() as db:
            db.execute("UPDATE packs SET damaged = 0 WHERE damaged")
            db.executemany("UPDATE packs SET damaged = 1 WHERE sha256 = ?", ((pack,) for pack in packs))

    def add_damaged(self, pack: bytes) -> None:
        with self._file.transaction() as db:
            db.execute("UPDATE packs SET damaged = 1 WHERE sha256 = ?", (pack,))

    def find(self, ids: Sequence[bytes]) -> dict[bytes, list[Location]]:
        """Every copy of each blob, undamaged ones first; ids without a copy are left out."""
        found: dict[bytes, list[Location]] = {}
        for start in range(0, len(ids), _BATCH):
            batch = ids[start : start + _BATCH]
            query = _FIND.format(marks=",".join("?" * len(batch)))
            with self._file.reading() as db:
                for row in db.execute(query, batch).fetchall():
                    found.setdefault(row[0], []).append(_location(row))
        return found

    def known(self, ids: Sequence[bytes]) -> set[bytes]:
        """Those of the blobs that are in some pack."""
        found: set[bytes] = set()
        for start in range(0, len(ids), _BATCH):
            batch = ids[start : start + _BATCH]
            query = _KNOWN.format(marks=",".join("?" * len(batch)))
            with self._file.reading() as db:
                found.update(row[0] for row in db.execute(query, batch))
        return found

    def packs(self) -> Iterator[PackInfo]:
        """Every pack, read in batches."""
        for batch in self.pack_batches():
            yield from (indexed.pack for indexed in batch)

    def pack_batches(self) -> Iterator[list[IndexedPack]]:
        """Every pack, a few hundred at a time; the first the index heard of come first."""
        after = 0
        while True:
            with self._file.reading() as db:
                rows = db.execute(_PACKS_AFTER, (after, _BATCH)).fetchall()
                packs = [IndexedPack(row[0], _pack(row[2:]), row[1]) for row in rows]
            if not packs:
                return
            yield packs
            after = packs[-1].number

    def packs_of(self, segment: bytes) -> list[PackInfo]:
        """Those that are kept with a segment."""
        query = "SELECT sha256, kind, size, epoch, salt, damaged FROM packs WHERE segment = ?"
        with self._file.reading() as db:
            return [_pack(row) for row in db.execute(query, (segment,))]

    @contextmanager
    def same_numbers(self) -> Iterator[None]:
        """For whoever goes by the numbers of packs: raises Unavailable in the end when the file was made anew
        meanwhile, and numbers with it. Nothing else gives a number to another pack.
        """
        before = self._file.made_anew
        yield
        if before != self._file.made_anew:
            raise self._file.remade("while packs were counted")

    def highest_number(self) -> int:
        """No pack has a higher number as long as the index does not change."""
        with self._file.reading() as db:
            highest: int = db.execute("SELECT coalesce(max(n), 0) FROM packs").fetchone()[0]
            return highest

    def known_packs(self, packs: Sequence[bytes]) -> set[bytes]:
        """Those of at most a few hundred packs that some segment lists."""
        query = f"SELECT sha256 FROM packs WHERE sha256 IN ({','.join('?' * len(packs))})"  # noqa: S608
        with self._file.reading() as db:
            return {row[0] for row in db.execute(query, packs)}

    def copies(self) -> Iterator[tuple[bytes, int, int]]:
        """Id, pack number and stored bytes of every copy of every blob, those of a blob together."""
        after = (b"", -1)
        while True:
            with self._file.reading() as db:
                rows = db.execute(_COPIES_AFTER, (*after, _SCAN)).fetchall()
            yield from rows
            if len(rows) < _SCAN:
                return
            after = rows[-1][:2]

    def segments_of(self, packs: Iterable[bytes]) -> dict[bytes, set[bytes]]:
        """Every segment that lists some of these packs, and which; packs in no segment are left out."""
        query = "SELECT segment FROM packs WHERE sha256 = ?1"
        query += " UNION SELECT segment FROM listed_too WHERE sha256 = ?1"
        found: dict[bytes, set[bytes]] = {}
        with self._file.transaction() as db:
            for pack in packs:
                for (segment,) in db.execute(query, (pack,)):
                    found.setdefault(_hash(segment), set()).add(pack)
        return found

    def highest_epoch(self) -> int:
        with self._file.reading() as db:
            highest: int = db.execute("SELECT coalesce(max(epoch), 0) FROM packs").fetchone()[0]
            return highest

    def has_damage(self) -> bool:
        with self._file.reading() as db:
            return db.execute("SELECT 1 FROM packs WHERE damaged LIMIT 1").fetchone() is not None

    def totals(self) -> tuple[int, int, int]:
        """Packs, their bytes, and blobs (copies count)."""
        query = "SELECT count(*), coalesce(sum(size), 0), coalesce(sum(blobs), 0) FROM packs"
        with self._file.reading() as db:
            packs, size, blobs = db.execute(query).fetchone()
            return packs, size, blobs


def _location(row: tuple[Any, ...]) -> Location:
    """Raises TypeError or ValueError for what nobody wrote."""
    id_, slot, at, stored, plain, kind, *pack = row
    if slot | at | stored | plain | kind < 0:
        raise ValueError("no lengths and offsets")
    compression = kind & (1 << TYPE_SHIFT) - 1
    return Location(
        _pack(pack), slot, at, BlobEntry(id_, BlobType(kind >> TYPE_SHIFT), compression, plain, stored)
    )


def _hash(value: Any) -> bytes:
    """Raises ValueError for what nobody wrote."""
    if not isinstance(value, bytes) or len(value) != _HASH_BYTES:
        raise ValueError("no hash")
    return value


def _pack(row: Sequence[Any]) -> PackInfo:
    sha256, kind, size, epoch, salt, damaged = row
    if len(b"".join((sha256, salt))) != _HASH_AND_SALT_BYTES or size | epoch | damaged < 0:
        raise ValueError("no pack")
    return PackInfo(sha256, _KIND_NAMES[kind], size, epoch, salt, bool(damaged))
