"""The file of the local index cache: opened, shared, and made anew when it is broken."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from services.chassis.errors import ResourceExhausted, Unavailable
from services.mover.repository.scratchdb import keep_temporaries

CACHE_REMADE: Final = "INDEX_CACHE_REMADE"
_SCHEMA_VERSION: Final = 3
_BROKEN: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CONSTRAINT)
_WAIT_SECONDS: Final = 600
"""For another process that takes millions of blobs in."""
_MEMORY_KIB: Final = 8192
_SCHEMA: Final = """
CREATE TABLE segments (
  name BLOB PRIMARY KEY, superseded INTEGER NOT NULL, blobs INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE packs (
  n INTEGER PRIMARY KEY AUTOINCREMENT, sha256 BLOB NOT NULL UNIQUE, kind INTEGER NOT NULL,
  size INTEGER NOT NULL, epoch INTEGER NOT NULL, salt BLOB NOT NULL, blobs INTEGER NOT NULL,
  segment BLOB NOT NULL, damaged INTEGER NOT NULL DEFAULT 0);
CREATE INDEX packs_by_segment ON packs (segment);
CREATE INDEX packs_by_epoch ON packs (epoch);
CREATE INDEX packs_damaged ON packs (n) WHERE damaged;
CREATE TABLE listed_too (
  sha256 BLOB NOT NULL, segment BLOB NOT NULL, PRIMARY KEY (sha256, segment)) WITHOUT ROWID;
CREATE INDEX listed_too_by_segment ON listed_too (segment);
CREATE TABLE blobs (
  id BLOB NOT NULL, pack INTEGER NOT NULL, slot INTEGER NOT NULL, at INTEGER NOT NULL,
  stored INTEGER NOT NULL, plain INTEGER NOT NULL, kind INTEGER NOT NULL,
  PRIMARY KEY (id, pack)) WITHOUT ROWID;
CREATE TABLE orphans (blobs INTEGER NOT NULL);
INSERT INTO orphans VALUES (0);
"""
"""A pack's number is never used again in one file: lines of ``blobs`` may outlive their pack, and count for
nothing.

``listed_too`` are segments in force that list a pack besides the one it is kept with.
"""


class IndexFile:
    """One SQLite file; several threads and processes may share it."""

    def __init__(self, path: Path) -> None:
        """Opens or makes the file; one that is broken or of another schema is made anew.

        Raises ResourceExhausted or Unavailable when there can be none.
        """
        self._path = path
        self._lock = threading.Lock()
        self.made_anew = 0
        """How often the file was replaced by an empty one, in which the numbers of packs begin again."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            keep_temporaries(path.parent.absolute())
            try:
                self._db = self._connect()
            except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
                if not _is_broken(error):
                    raise
                self._remove_files()
                self._db = self._connect()
        except (sqlite3.Error, UnicodeDecodeError, OSError) as error:
            raise self._translated(error) from error

    def close(self) -> None:
        with self._lock:
            self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                self._db.execute("BEGIN")
                yield self._db
                self._db.execute("COMMIT")
            except (sqlite3.Error, ValueError) as error:
                raise self._failed(error) from error
            finally:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """For one statement, which is a transaction by itself; its rows are understood inside."""
        with self._lock:
            try:
                yield self._db
            except (sqlite3.Error, LookupError, TypeError, ValueError) as error:
                raise self._failed(error) from error

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, timeout=_WAIT_SECONDS, isolation_level=None, check_same_thread=False)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute(f"PRAGMA cache_size = -{_MEMORY_KIB}")
        db.execute(f"PRAGMA journal_size_limit = {_MEMORY_KIB << 10}")
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

    def _failed(self, error: Exception) -> ResourceExhausted | Unavailable:
        """The answer to a failure while in use; a broken file is replaced by an empty one at once."""
        if not _is_broken(error):
            return self._translated(error)
        try:
            self._db.close()
            self._remove_files()
            self._db = self._connect()
        except (sqlite3.Error, UnicodeDecodeError, OSError) as worse:
            return self._translated(worse)
        finally:
            self.made_anew += 1
        return self.remade(str(error))

    def remade(self, why: str) -> Unavailable:
        return Unavailable(
            f"The index cache {self._path} was damaged ({why}) and is made anew.",
            reason=CACHE_REMADE,
            hint="Try again: it is filled from the repository, which is not affected.",
        )

    def _translated(self, error: Exception) -> ResourceExhausted | Unavailable:
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


def _is_broken(error: Exception) -> bool:
    """Whether the file is no database of ours, rather than out of reach, in use, or without room.

    What SQLite says of a broken one may quote it, and be no text at all. Nothing that is done to a whole one
    breaks a constraint.
    """
    code = getattr(error, "sqlite_errorcode", None)
    return code is None or code & 0xFF in _BROKEN
