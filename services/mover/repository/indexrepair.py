"""What the local index has of one pack, made anew: without a walk over the lines of all the others."""

import sqlite3

from services.mover.repository.format.pack import KINDS
from services.mover.repository.format.segment import PackRecord
from services.mover.repository.indexintake import lines_of


def replace_pack(db: sqlite3.Connection, record: PackRecord, segment: bytes) -> None:
    """The pack gets another number, so that none of its old lines counts, whatever they say.

    ``segment`` is the one it is kept with if it was not known. Who walks the index by numbers meanwhile finds
    a pack that it does not know yet.
    """
    query = "SELECT segment, damaged FROM packs WHERE sha256 = ?"
    _leave_lines(db, record.sha256)
    kept_with, damaged = db.execute(query, (record.sha256,)).fetchone() or (segment, 0)
    db.execute("DELETE FROM packs WHERE sha256 = ?", (record.sha256,))
    number = db.execute(
        "INSERT INTO packs (sha256, kind, size, epoch, salt, blobs, segment, damaged)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            record.sha256,
            KINDS[record.kind],
            record.size,
            record.epoch,
            record.salt,
            len(record.entries),
            kept_with,
            bool(damaged),
        ),
    ).lastrowid
    db.executemany(
        "INSERT OR REPLACE INTO blobs (pack, id, slot, at, stored, plain, kind) VALUES (?, ?, ?, ?, ?, ?, ?)",
        ((number, *line) for line in lines_of(record)),
    )


def forget_pack(db: sqlite3.Connection, sha256: bytes) -> None:
    _leave_lines(db, sha256)
    db.execute("DELETE FROM packs WHERE sha256 = ?", (sha256,))


def _leave_lines(db: sqlite3.Connection, sha256: bytes) -> None:
    """They are removed with others when there are enough. The first statement writes, so that the transaction
    sees what other processes wrote.
    """
    query = "SELECT coalesce(sum(blobs), 0) FROM packs WHERE sha256 = ?"
    db.execute(f"UPDATE orphans SET blobs = blobs + ({query})", (sha256,))  # noqa: S608 - literal query
