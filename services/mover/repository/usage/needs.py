"""Who needs each blob: one point, several of one asset, several assets, or only what is on its way out.

Kept in a database on disk without a name, so memory stays small whatever the repository's size, and nothing
is left of it when the process dies.
"""

import os
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import mkstemp
from types import TracebackType
from typing import Final, Self

SHARED: Final = -1
"""Points of several assets need it."""
TRASH: Final = -2
"""Only points in the trash need it."""
UNFINISHED: Final = -3
"""Only a backup that may be resumed needs it."""
_FIRST_ASSET: Final = -10
_SCAN: Final = 10_000
_SCHEMA: Final = """
PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -32768;
CREATE TABLE owners (point INTEGER PRIMARY KEY, asset INTEGER NOT NULL);
CREATE TABLE needs (id BLOB PRIMARY KEY, owner INTEGER NOT NULL) WITHOUT ROWID;
"""
_JOIN: Final = """
INSERT INTO needs VALUES (:id, :point) ON CONFLICT (id) DO UPDATE SET owner = CASE
  WHEN owner IN (:point, :asset, -1) THEN owner
  WHEN owner >= 0 AND (SELECT asset FROM owners WHERE point = owner) = :asset THEN :asset
  ELSE -1 END
"""
_AFTER: Final = "SELECT id, owner FROM needs WHERE id > ? ORDER BY id LIMIT ?"


def asset_owner(asset: int) -> int:
    """The owner that stands for several points of the ``asset``-th asset."""
    return _FIRST_ASSET - asset


class Needs:
    """Points and assets are numbered from 0. Used by one thread; close it, or use it as a context manager."""

    def __init__(self, folder: Path) -> None:
        """A file in ``folder``, whose name is gone at once."""
        for left in folder.glob("usage-*"):  # by who was killed before it was gone; each may go at any time
            left.unlink(missing_ok=True)
        handle, name = mkstemp(prefix="usage-", dir=folder)
        os.close(handle)
        try:
            self._db = sqlite3.connect(name, isolation_level=None, check_same_thread=False)
            self._db.executescript(_SCHEMA)
            self._db.execute("BEGIN")
        finally:
            Path(name).unlink(missing_ok=True)
        self._assets: dict[int, int] = {}
        self._pages: dict[bytes, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._db.close()

    def add_point(self, point: int, asset: int) -> None:
        """Before its blobs are added."""
        self._assets[point] = asset
        self._db.execute("INSERT INTO owners VALUES (?, ?)", (point, asset_owner(asset)))

    def add(self, ids: Iterable[bytes], point: int) -> None:
        """The point needs these blobs."""
        asset = asset_owner(self._assets[point])
        self._db.executemany(_JOIN, ({"id": id_, "point": point, "asset": asset} for id_ in ids))

    def add_leaving(self, ids: Iterable[bytes], why: int) -> None:
        """``TRASH`` or ``UNFINISHED`` needs them; counts where nothing that was added before does."""
        self._db.executemany("INSERT OR IGNORE INTO needs VALUES (?, ?)", ((id_, why) for id_ in ids))

    def is_news(self, page: bytes, owner: int) -> bool:
        """Whether what hangs on a page has to be walked: at most three times, however many need it."""
        known = self._pages.get(page)
        if known is None:
            joined = owner
        elif owner < 0 or known in (owner, SHARED):
            return False
        else:
            joined = self._joined(known, owner)
        if joined == known:
            return False
        self._pages[page] = joined
        return True

    def owners(self) -> Iterator[tuple[bytes, int]]:
        """Every blob that is needed, and by whom, in the order of ids."""
        after = b""
        while True:
            rows = self._db.execute(_AFTER, (after, _SCAN)).fetchall()
            yield from rows
            if len(rows) < _SCAN:
                return
            after = rows[-1][0]

    def _joined(self, known: int, point: int) -> int:
        asset = asset_owner(self._assets[point])
        others = asset_owner(self._assets[known]) if known >= 0 else known
        return asset if others == asset else SHARED
