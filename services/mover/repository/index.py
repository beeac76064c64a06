"""The local, disposable cache of the index: which pack holds which blob, in SQLite on disk.

The truth is the index segments in the repository. An entry costs less than 100 bytes on disk and none in
memory.
"""

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from services.chassis.errors import ResourceExhausted, Unavailable
from services.mover.repository.format.blob import BlobEntry, BlobType
from services.mover.repository.format.names import pack_name
from services.mover.repository.format.pack import KINDS
from services.mover.repository.format.segment import PackRecord, Segment

CACHE_REMADE: Final = "INDEX_CACHE_REMADE"
_SCHEMA_VERSION: Final = 1
_BATCH: Final = 500
_SCAN: Final = 10_000
_TYPE_SHIFT: Final = 3
_KIND_NAMES: Final = {code: name for name, code in KINDS.items()}
_SCHEMA: Final = """
CREATE TABLE segments (name BLOB PRIMARY KEY, superseded INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE packs (
  n INTEGER PRIMARY KEY, sha256 BLOB NOT NULL UNIQUE, kind INTEGER NOT NULL, size INTEGER NOT NULL,
  epoch INTEGER NOT NULL, salt BLOB NOT NULL, segment BLOB NOT NULL, damaged INTEGER NOT NULL DEFAULT 0);
CREATE TABLE blobs (
  id BLOB NOT NULL, pack INTEGER NOT NULL, slot INTEGER NOT NULL, at INTEGER NOT NULL,
  stored INTEGER NOT NULL, plain INTEGER NOT NULL, kind INTEGER NOT NULL,
  PRIMARY KEY (id, pack)) WITHOUT ROWID;
"""
_FIND: Final = """
SELECT b.id, b.slot, b.at, b.stored, b.plain, b.kind, p.sha256, p.kind, p.size, p.epoch, p.salt, p.damaged
FROM blobs b JOIN packs p ON p.n = b.pack WHERE b.id IN ({marks}) ORDER BY p.damaged, p.n
"""
_BLOBS_OF: Final = """
SELECT b.id, b.slot, b.at, b.stored, b.plain, b.kind, p.sha256, p.kind, p.size, p.epoch, p.salt, p.damaged
FROM blobs b JOIN packs p ON p.n = b.pack WHERE p.sha256 = ? ORDER BY b.slot
"""
_COPIES_AFTER: Final = """
SELECT b.id, b.pack, b.stored FROM blobs b WHERE (b.id, b.pack) > (?, ?) ORDER BY b.id, b.pack LIMIT ?
"""
_PACKS_AFTER: Final = """
SELECT sha256, kind, size, epoch, salt, damaged FROM packs WHERE sha256 > ? ORDER BY sha256 LIMIT ?
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


@dataclass(frozen=True, slots=True)
class Location:
    """Where one copy of a blob is: the pack, its slot, and its offset in bytes."""

    pack: PackInfo
    slot: int
    offset: int
    entry: BlobEntry


class Index:
    """One cache file of one repository in one store; several threads and processes may share it."""

    def __init__(self, path: Path) -> None:
        """Opens or makes the file; one that is broken or of another schema is made anew.

        Raises ResourceExhausted or Unavailable when there can be none.
        """
        self._path = path
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            try:
                self._db = self._connect()
            except sqlite3.DatabaseError as error:
                if not _is_broken(error):
                    raise
                self._remove_files()
                self._db = self._connect()
        except (sqlite3.Error, OSError) as error:
            raise self._translated(error) from error

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def clear(self) -> None:
        with self._transaction() as db:
            for table in ("blobs", "packs", "segments"):
                db.execute(f"DELETE FROM {table}")  # noqa: S608 - three literal names

    def segments(self) -> dict[bytes, bool]:
        """Every segment taken in, and whether another one supersedes it."""
        with self._transaction() as db:
            return {row[0]: bool(row[1]) for row in db.execute("SELECT name, superseded FROM segments")}

    def add_segment(self, name: bytes, segment: Segment) -> None:
        """Take a segment in, once; what it supersedes goes, packs it does not repeat included."""
        with self._transaction() as db:
            if db.execute("INSERT OR IGNORE INTO segments VALUES (?, 0)", (name,)).rowcount == 0:
                return
            for pack in segment.packs:
                _add_pack(db, name, pack)
            for old in segment.superseded:
                db.execute("INSERT OR REPLACE INTO segments VALUES (?, 1)", (old,))
                gone = [row[0] for row in db.execute("SELECT n FROM packs WHERE segment = ?", (old,))]
                for n in gone:
                    db.execute("DELETE FROM blobs WHERE pack = ?", (n,))
                db.execute("DELETE FROM packs WHERE segment = ?", (old,))

    def mark_damaged(self, packs: Iterable[bytes]) -> None:
        """Exactly these packs are damaged from now on."""
        with self._transaction() as db:
            db.execute("UPDATE packs SET damaged = 0 WHERE damaged")
            db.executemany("UPDATE packs SET damaged = 1 WHERE sha256 = ?", ((pack,) for pack in packs))

    def add_damaged(self, pack: bytes) -> None:
        with self._transaction() as db:
            db.execute("UPDATE packs SET damaged = 1 WHERE sha256 = ?", (pack,))

    def find(self, ids: Sequence[bytes]) -> dict[bytes, list[Location]]:
        """Every copy of each blob, undamaged ones first; ids without a copy are left out."""
        found: dict[bytes, list[Location]] = {}
        for start in range(0, len(ids), _BATCH):
            batch = ids[start : start + _BATCH]
            query = _FIND.format(marks=",".join("?" * len(batch)))
            with self._reading() as db:
                rows = db.execute(query, batch).fetchall()
            for row in rows:
                found.setdefault(row[0], []).append(_location(row))
        return found

    def packs(self) -> Iterator[PackInfo]:
        """Every pack in name order, read in batches."""
        after = b""
        while True:
            with self._transaction() as db:
                rows = db.execute(_PACKS_AFTER, (after, _BATCH)).fetchall()
            for sha256, kind, size, epoch, salt, damaged in rows:
                yield PackInfo(sha256, _KIND_NAMES[kind], size, epoch, salt, bool(damaged))
            if len(rows) < _BATCH:
                return
            after = rows[-1][0]

    def numbered_packs(self) -> dict[int, PackInfo]:
        """Every pack under the number that ``copies`` calls it by, as long as the index does not change."""
        query = "SELECT n, sha256, kind, size, epoch, salt, damaged FROM packs"
        with self._transaction() as db:
            rows = db.execute(query).fetchall()
        return {
            n: PackInfo(sha256, _KIND_NAMES[kind], size, epoch, salt, bool(damaged))
            for n, sha256, kind, size, epoch, salt, damaged in rows
        }

    def copies(self) -> Iterator[tuple[bytes, int, int]]:
        """Id, pack number and stored bytes of every copy of every blob, those of a blob together."""
        after = (b"", -1)
        while True:
            with self._reading() as db:
                rows = db.execute(_COPIES_AFTER, (*after, _SCAN)).fetchall()
            yield from rows
            if len(rows) < _SCAN:
                return
            after = rows[-1][:2]

    def segments_of(self, packs: Iterable[bytes]) -> dict[bytes, set[bytes]]:
        """Segments that list these packs, and which of them; packs in no segment are left out."""
        found: dict[bytes, set[bytes]] = {}
        with self._transaction() as db:
            for pack in packs:
                row = db.execute("SELECT segment FROM packs WHERE sha256 = ?", (pack,)).fetchone()
                if row is not None:
                    found.setdefault(row[0], set()).add(pack)
        return found

    def blobs_of(self, pack: bytes) -> list[Location]:
        """Every blob of one pack in slot order; reads the whole table."""
        with self._transaction() as db:
            rows = db.execute(_BLOBS_OF, (pack,)).fetchall()
        return [_location(row) for row in rows]

    def highest_epoch(self) -> int:
        with self._transaction() as db:
            highest: int = db.execute("SELECT coalesce(max(epoch), 0) FROM packs").fetchone()[0]
            return highest

    def has_damage(self) -> bool:
        with self._transaction() as db:
            return db.execute("SELECT 1 FROM packs WHERE damaged LIMIT 1").fetchone() is not None

    def totals(self) -> tuple[int, int, int]:
        """Packs, their bytes, and blobs."""
        with self._transaction() as db:
            packs, size = db.execute("SELECT count(*), coalesce(sum(size), 0) FROM packs").fetchone()
            return packs, size, db.execute("SELECT count(*) FROM blobs").fetchone()[0]

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, timeout=60, isolation_level=None, check_same_thread=False)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            db.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {_SCHEMA_VERSION}; COMMIT;")
        elif version != _SCHEMA_VERSION:
            db.close()
            raise sqlite3.DatabaseError(f"schema {version}")
        return db

    def _remove_files(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                self._db.execute("BEGIN")
                yield self._db
                self._db.execute("COMMIT")
            except sqlite3.Error as error:
                raise self._failed(error) from error
            finally:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """For one statement, which is a transaction by itself."""
        with self._lock:
            try:
                yield self._db
            except sqlite3.Error as error:
                raise self._failed(error) from error

    def _failed(self, error: sqlite3.Error) -> ResourceExhausted | Unavailable:
        """The answer to a failure while in use; a broken file is replaced by an empty one at once."""
        if not _is_broken(error):
            return self._translated(error)
        try:
            self._db.close()
            self._remove_files()
            self._db = self._connect()
        except (sqlite3.Error, OSError) as worse:
            return self._translated(worse)
        return Unavailable(
            f"The index cache {self._path} was damaged ({error}) and is made anew.",
            reason=CACHE_REMADE,
            hint="Try again: it is filled from the repository, which is not affected.",
        )

    def _translated(self, error: sqlite3.Error | OSError) -> ResourceExhausted | Unavailable:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
            return ResourceExhausted(
                f"There is no room for the index cache {self._path}.",
                reason="INDEX_CACHE_FULL",
                hint="Free space there, or choose another cache directory; the repository is not affected.",
            )
        return Unavailable(
            f"The index cache {self._path} cannot be used: {error}.",
            reason="INDEX_CACHE_BROKEN",
            hint="Delete the file; it is made again from the repository at the next opening.",
        )


def _is_broken(error: sqlite3.Error) -> bool:
    """Whether the file is no database of ours, rather than out of reach, in use, or without room."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is None or code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _add_pack(db: sqlite3.Connection, segment: bytes, pack: PackRecord) -> None:
    row = db.execute("SELECT n FROM packs WHERE sha256 = ?", (pack.sha256,)).fetchone()
    if row is not None:
        db.execute("UPDATE packs SET segment = ? WHERE n = ?", (segment, row[0]))
        return
    cursor = db.execute(
        "INSERT INTO packs (sha256, kind, size, epoch, salt, segment) VALUES (?, ?, ?, ?, ?, ?)",
        (pack.sha256, KINDS[pack.kind], pack.size, pack.epoch, pack.salt, segment),
    )
    n = cursor.lastrowid
    db.executemany(
        "INSERT OR REPLACE INTO blobs VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            (entry.id, n, slot, at, entry.stored, entry.plain, entry.type << _TYPE_SHIFT | entry.compression)
            for slot, (entry, at) in enumerate(zip(pack.entries, pack.offsets(), strict=True))
        ),
    )


def _location(row: tuple[bytes, int, int, int, int, int, bytes, int, int, int, bytes, int]) -> Location:
    id_, slot, at, stored, plain, kind, sha256, pack_kind, size, epoch, salt, damaged = row
    compression = kind & (1 << _TYPE_SHIFT) - 1
    entry = BlobEntry(id_, BlobType(kind >> _TYPE_SHIFT), compression, plain, stored)
    pack = PackInfo(sha256, _KIND_NAMES[pack_kind], size, epoch, salt, bool(damaged))
    return Location(pack, slot, at, entry)
