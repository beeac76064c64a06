"""The tables every service's schema has, and the column type for moments."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    DateTime,
    Dialect,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    TypeDecorator,
)


class UtcTime(TypeDecorator[datetime]):
    """An aware moment in UTC, microseconds kept, the same from SQLite (which forgets the zone) and
    PostgreSQL.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a moment without a time zone cannot be stored")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


_METADATA = MetaData()

OUTBOX = Table(
    "outbox",
    _METADATA,
    # Committed and not yet acknowledged by JetStream; published in the order of ``position``.
    Column("position", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("message_id", String(64), nullable=False, unique=True),
    Column("subject", String(255), nullable=False),
    Column("headers", JSON, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("created_time", UtcTime, nullable=False),
    sqlite_autoincrement=True,
)

INBOX = Table(
    "inbox",
    _METADATA,
    # Messages whose effects are committed, so that a redelivery has none.
    Column("consumer", String(128), primary_key=True),
    Column("message_id", String(128), primary_key=True),
    Column("handled_time", UtcTime, nullable=False),
    Index("inbox_handled_time", "handled_time"),
)


def chassis_tables(op: Any) -> None:
    """Create ``outbox`` and ``inbox``; the first migration of every service calls it with ``alembic.op``."""
    _METADATA.create_all(op.get_bind(), checkfirst=False)
