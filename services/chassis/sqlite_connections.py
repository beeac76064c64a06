"""SQLite connections, each with a thread of its own, none of which outlives the store."""

import asyncio
from typing import Any

import aiosqlite


class SqliteConnections:
    """Opens connections to one file, and knows when their threads have ended.

    The driver does not wait for the thread of a connection that could not be opened, was called off while it
    was opened, or is thrown away; such a thread reports to an event loop that may be closed by then
    (aiosqlite/core.py: Connection._connect, Connection.stop).
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        """As for ``aiosqlite.connect``."""
        self._arguments, self._options = arguments, options
        self._opened: list[aiosqlite.Connection] = []

    async def open(self) -> aiosqlite.Connection:
        """A new connection; raises what sqlite3 raises."""
        self._opened = [known for known in self._opened if known._thread.is_alive()]
        connection = aiosqlite.connect(*self._arguments, **self._options)
        connection._thread.daemon = True
        self._opened.append(connection)
        try:
            return await connection
        except Exception:
            await _ended(connection)
            raise

    async def close(self) -> None:
        """Returns when no thread is left. A connection that is still in use is closed after what it does."""
        for connection in self._opened:
            if connection._running:
                connection.stop()
        for connection in self._opened:
            await _ended(connection)


async def _ended(connection: aiosqlite.Connection) -> None:
    if connection._thread.is_alive():
        await asyncio.to_thread(connection._thread.join)
