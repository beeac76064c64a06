"""A store with one table, and an event to announce changes with."""

from pathlib import Path

import sqlalchemy as sa
from xenkeep.catalog.v1.events_pb2 import RestorePointRemoved

from services.chassis.sql import Database, Reader, Transaction
from services.chassis.tables import UtcTime

MIGRATIONS = "tests.support.migrations"
NOTES = sa.Table(
    "notes",
    sa.MetaData(),
    sa.Column("position", sa.Integer, primary_key=True),
    sa.Column("text", sa.String),
    sa.Column("noted_time", UtcTime),
)


def store(directory: Path, service: str = "catalog") -> Database:
    return Database(f"sqlite+aiosqlite:///{directory / service}.sqlite", service)


def removed(name: str) -> RestorePointRemoved:
    return RestorePointRemoved(restore_point=f"restorePoints/{name}")


async def note(tx: Transaction, text: str) -> None:
    await tx.execute(sa.insert(NOTES).values(text=text))


async def notes(reader: Reader) -> list[str]:
    return list((await reader.execute(sa.select(NOTES.c.text).order_by(NOTES.c.position))).scalars())
