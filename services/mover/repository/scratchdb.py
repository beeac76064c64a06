"""What is too much for memory and needed for a moment only: a table in a temporary file."""

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from services.chassis.errors import ResourceExhausted, Unavailable

_MEMORY_KIB: Final = 8192
_choosing = threading.Lock()


def keep_temporaries(folder: Path) -> None:
    """Let SQLite's temporary files, of the whole process, be in ``folder``, unless they have a place already.

    /tmp is often small, or memory; https://www.sqlite.org/tempfiles.html, section 5. Raises sqlite3.Error.
    """
    with _choosing:
        db = sqlite3.connect("")
        try:
            chosen = db.execute("PRAGMA temp_store_directory").fetchone()
            if not chosen or not Path(chosen[0]).is_dir():
                quoted = str(folder).replace("'", "''")
                db.execute(f"PRAGMA temp_store_directory = '{quoted}'")
        finally:
            db.close()


class ScratchDb:
    """SQLite in a file without a name: little of it is written before some megabytes, and it goes with us.

    For one thread at a time. Raises ResourceExhausted when there is no room for temporary files.
    """

    def __init__(self, schema: str) -> None:
        with _explained():
            self._db = sqlite3.connect("", isolation_level=None, check_same_thread=False)
            self._db.execute(f"PRAGMA cache_size = -{_MEMORY_KIB}")
            self._db.executescript(schema)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """The file goes with it."""
        self._db.close()

    def rows(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with _explained():
            return self._db.execute(query, values).fetchall()

    def add(self, statement: str, rows: Iterable[Sequence[Any]]) -> None:
        with _explained():
            self._db.executemany(statement, rows)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """What is added in the block is there afterwards, unless the block fails."""
        with _explained():
            self._db.execute("BEGIN")
        try:
            yield
        except BaseException:
            with _explained():
                self._db.execute("ROLLBACK")
            raise
        with _explained():
            self._db.execute("COMMIT")


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
            raise ResourceExhausted(
                "There is no room for temporary files beside the index cache.",
                reason="SCRATCH_FULL",
                hint="Free space there, or choose another cache directory; the repository is not affected.",
            ) from error
        raise Unavailable(
            f"A temporary file cannot be used: {error}.",
            reason="SCRATCH_BROKEN",
            hint="See whether the directory of the index cache can be written.",
        ) from error
