"""One engine per store, SQLite or PostgreSQL, that behaves the same: durable, and one writer at a time."""

import re
import zlib
from collections.abc import Awaitable, Callable
from typing import Any

from sqlalchemy import event, make_url, text
from sqlalchemy.engine import URL, Connection
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from services.chassis.errors import InvalidInput
from services.chassis.sqlite_connections import SqliteConnections

BUSY_TIMEOUT_MS = 20_000
IDLE_TIMEOUT_MS = 60_000
POOL = 8
"""Connections of a process at most; the default ``max_connections`` of PostgreSQL is 100."""
Close = Callable[[], Awaitable[None]]
"""Ends all connections; returns when that is done."""
_WRITING = "xenkeep_writing"


def parse(url: str) -> URL:
    """The URL, or InvalidInput DATABASE_URL_INVALID that does not repeat it (it may hold a password)."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        parsed = None
    if parsed is None or parsed.drivername not in ("sqlite+aiosqlite", "postgresql+asyncpg"):
        raise InvalidInput(
            "The database URL is not one we can use.",
            reason="DATABASE_URL_INVALID",
            hint="Use sqlite+aiosqlite:///<file> or postgresql+asyncpg://<user>:<password>@<host>/<database>.",
        )
    if parsed.drivername == "sqlite+aiosqlite" and not parsed.database:
        raise InvalidInput(
            "A database in memory would forget everything.",
            reason="DATABASE_URL_INVALID",
            hint="Name a file: sqlite+aiosqlite:////var/lib/xenkeep/catalog.sqlite.",
        )
    return parsed


def create_engine(url: URL, schema: str) -> tuple[AsyncEngine, Close]:
    """An engine, and how to end it; on PostgreSQL every unqualified table is in ``schema``."""
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,62}", schema):
        raise ValueError(f"not a schema name: {schema!r}")
    if url.drivername == "postgresql+asyncpg":
        settings = {
            "search_path": schema,
            "application_name": f"xenkeep-{schema}",
            "lock_timeout": str(BUSY_TIMEOUT_MS),
            # A process that was stopped inside a transaction, or is gone, holds up nobody for ever.
            "idle_in_transaction_session_timeout": str(IDLE_TIMEOUT_MS),
            "tcp_keepalives_idle": "10",
            "tcp_keepalives_interval": "5",
            "tcp_keepalives_count": "3",
        }
        engine = create_async_engine(
            url,
            pool_pre_ping=True,
            pool_size=POOL,
            max_overflow=0,
            pool_timeout=BUSY_TIMEOUT_MS / 1000,
            hide_parameters=True,
            connect_args={"server_settings": settings},
        )
        return engine, engine.dispose
    arguments, options = url.get_dialect()().create_connect_args(url)
    connections = SqliteConnections(*arguments, **options)
    engine = create_async_engine(url, hide_parameters=True, async_creator=connections.open)
    event.listen(engine.sync_engine, "connect", _prepare_sqlite)
    event.listen(engine.sync_engine, "begin", _begin_sqlite)

    async def close() -> None:
        await engine.dispose()
        await connections.close()

    return engine, close


async def start_reading(connection: AsyncConnection) -> None:
    """Everything read through it belongs to one moment, as is SQLite's nature anyway."""
    if connection.dialect.name != "sqlite":
        await connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


async def start_writing(connection: AsyncConnection, schema: str) -> None:
    """Become the schema's only writer until the transaction ends, as is SQLite's nature anyway."""
    if connection.dialect.name == "sqlite":
        await connection.execution_options(**{_WRITING: True})
        await connection.begin()
    else:
        await connection.begin()
        key = zlib.crc32(f"xenkeep {schema}".encode())
        await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": key})


def _prepare_sqlite(dbapi_connection: Any, _: object) -> None:
    # Without a level the driver leaves BEGIN to _begin_sqlite. FULL: a commit in the WAL survives the loss of
    # power (sqlite.org/pragma.html#pragma_synchronous).
    dbapi_connection.isolation_level = None
    cursor = dbapi_connection.cursor()
    for pragma in (
        f"busy_timeout={BUSY_TIMEOUT_MS}",
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    writing = connection.get_execution_options().get(_WRITING, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")
