"""What is too much for memory and needed for a moment only: a table in a temporary file."""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Final, Self

from services.chassis.errors import ResourceExhausted, Unavailable

_MEMORY_KIB: Final = 8192


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
                "There is no room for temporary files on this machine.",
                reason="SCRATCH_FULL",
                hint="Free space there, or name another directory in TMPDIR; the repository is not affected.",
            ) from error
        raise Unavailable(
            f"A temporary file cannot be used: {error}.",
            reason="SCRATCH_BROKEN",
            hint="See whether the directory for temporary files (TMPDIR) can be written.",
        ) from error
