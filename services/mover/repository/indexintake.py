"""How segments get into the local index: many at once, sorted, so that each of its pages is written once."""

import sqlite3
from collections.abc import Iterator
from typing import Final

from services.mover.repository.format.pack import KINDS
from services.mover.repository.format.segment import PackRecord, Segment
from services.mover.repository.indexfile import IndexFile

TYPE_SHIFT: Final = 3
_ORPHANS: Final = 10_000
_ORPHAN_SHARE: Final = 8
_STAGE: Final = """
CREATE TEMP TABLE IF NOT EXISTS staged_segments (number INTEGER PRIMARY KEY, name BLOB, blobs INTEGER);
CREATE TEMP TABLE IF NOT EXISTS staged_superseded (segment INTEGER, name BLOB);
CREATE TEMP TABLE IF NOT EXISTS staged_packs (
  number INTEGER PRIMARY KEY, segment INTEGER, sha256 BLOB, kind INTEGER, size INTEGER, epoch INTEGER,
  salt BLOB, blobs INTEGER);
CREATE TEMP TABLE IF NOT EXISTS staged_blobs (
  pack INTEGER, id BLOB, slot INTEGER, at INTEGER, stored INTEGER, plain INTEGER, kind INTEGER);
CREATE TEMP TABLE IF NOT EXISTS placed (staged INTEGER PRIMARY KEY, n INTEGER);
"""
_STAGED: Final = ("staged_segments", "staged_superseded", "staged_packs", "staged_blobs", "placed")
_PACKS_OF: Final = """
SELECT number, sha256, kind, size, epoch, salt, blobs FROM staged_packs WHERE segment = ? ORDER BY number
"""
_ADD_PACK: Final = """
INSERT INTO packs (sha256, kind, size, epoch, salt, blobs, segment) VALUES (?, ?, ?, ?, ?, ?, ?)
"""
_KEEP_LISTED: Final = """
UPDATE packs SET segment = (SELECT min(segment) FROM listed_too WHERE sha256 = packs.sha256)
WHERE segment = ? AND EXISTS (SELECT 1 FROM listed_too WHERE sha256 = packs.sha256)
"""
_KEPT_WITH: Final = """
DELETE FROM listed_too WHERE EXISTS
(SELECT 1 FROM packs WHERE packs.sha256 = listed_too.sha256 AND packs.segment = listed_too.segment)
"""
_TAKE_BLOBS: Final = """
INSERT OR REPLACE INTO blobs
SELECT s.id, p.n, s.slot, s.at, s.stored, s.plain, s.kind
FROM staged_blobs s JOIN placed p ON p.staged = s.pack JOIN packs ON packs.n = p.n ORDER BY s.id, p.n
"""


class Intake:
    """Segments wait in temporary tables, on disk, until ``finish`` takes them all in, or nothing at all.

    Whoever makes one has the index's intake to itself.
    """

    def __init__(self, file: IndexFile) -> None:
        self._file = file
        self._segments = self._packs = 0
        with file.reading() as db:
            db.executescript(_STAGE)
        self._clear()

    def add(self, name: bytes, segment: Segment) -> None:
        """One that was taken in before, or is superseded by one that was, is left out."""
        with self._file.transaction() as db:
            self._segments += 1
            blobs = sum(len(pack.entries) for pack in segment.packs)
            db.execute("INSERT INTO staged_segments VALUES (?, ?, ?)", (self._segments, name, blobs))
            db.executemany(
                "INSERT INTO staged_superseded VALUES (?, ?)",
                ((self._segments, old) for old in segment.superseded),
            )
            for pack in segment.packs:
                self._add_pack(db, pack)

    def finish(self) -> None:
        if not self._segments:
            return
        with self._file.transaction() as db:
            dropped = 0
            for number, name, blobs in db.execute("SELECT * FROM staged_segments ORDER BY number").fetchall():
                dropped += _take_segment(db, number, name, blobs)
            db.execute(_TAKE_BLOBS)
            db.execute("UPDATE orphans SET blobs = blobs + ?", (dropped,))
            _sweep(db)
        self._clear()

    def _add_pack(self, db: sqlite3.Connection, pack: PackRecord) -> None:
        self._packs += 1
        staged = self._packs
        db.execute(
            "INSERT INTO staged_packs VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                staged,
                self._segments,
                pack.sha256,
                KINDS[pack.kind],
                pack.size,
                pack.epoch,
                pack.salt,
                len(pack.entries),
            ),
        )
        db.executemany(
            "INSERT INTO staged_blobs VALUES (?, ?, ?, ?, ?, ?, ?)",
            ((staged, *line) for line in lines_of(pack)),
        )

    def _clear(self) -> None:
        with self._file.transaction() as db:
            for table in _STAGED:
                db.execute(f"DELETE FROM {table}")  # noqa: S608 - literal names


def lines_of(pack: PackRecord) -> Iterator[tuple[bytes, int, int, int, int, int]]:
    """Of each blob its id, slot, offset, stored and plain bytes, and its type and compression in one."""
    for slot, (entry, at) in enumerate(zip(pack.entries, pack.offsets(), strict=True)):
        yield entry.id, slot, at, entry.stored, entry.plain, entry.type << TYPE_SHIFT | entry.compression


def _take_segment(db: sqlite3.Connection, number: int, name: bytes, blobs: int) -> int:
    """How many blobs have lost their pack with the segments this one supersedes."""
    if db.execute("INSERT OR IGNORE INTO segments VALUES (?, 0, ?)", (name, blobs)).rowcount == 0:
        return 0
    for staged, sha256, *rest in db.execute(_PACKS_OF, (number,)):
        known = db.execute("SELECT segment FROM packs WHERE sha256 = ?", (sha256,)).fetchone()
        if known is not None:
            db.execute("INSERT OR IGNORE INTO listed_too VALUES (?, ?)", (sha256, known[0]))
            db.execute("UPDATE packs SET segment = ? WHERE sha256 = ?", (name, sha256))
            continue
        cursor = db.execute(
            _ADD_PACK,
            (sha256, *rest, name),
        )
        db.execute("INSERT INTO placed VALUES (?, ?)", (staged, cursor.lastrowid))
    dropped = 0
    olds = db.execute("SELECT name FROM staged_superseded WHERE segment = ?", (number,)).fetchall()
    for (old,) in olds:
        db.execute("INSERT OR REPLACE INTO segments VALUES (?, 1, 0)", (old,))
        db.execute("DELETE FROM listed_too WHERE segment = ?", (old,))
    for (old,) in olds:
        if db.execute(_KEEP_LISTED, (old,)).rowcount:
            db.execute(_KEPT_WITH)
        query = "SELECT coalesce(sum(blobs), 0) FROM packs WHERE segment = ?"
        dropped += db.execute(query, (old,)).fetchone()[0]
        db.execute("DELETE FROM packs WHERE segment = ?", (old,))
    return dropped


def _sweep(db: sqlite3.Connection) -> None:
    """Remove blobs that have lost their pack; walks all there are, so only when it is worth it."""
    orphans = db.execute("SELECT blobs FROM orphans").fetchone()[0]
    blobs = db.execute("SELECT coalesce(sum(blobs), 0) FROM packs").fetchone()[0]
    if orphans > _ORPHANS and orphans * _ORPHAN_SHARE > blobs:
        db.execute("DELETE FROM blobs WHERE pack NOT IN (SELECT n FROM packs)")
        db.execute("UPDATE orphans SET blobs = 0")
