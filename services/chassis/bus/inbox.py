"""Remembers what was handled, in the transaction that handled it."""

from datetime import datetime, timedelta

from sqlalchemy import bindparam, delete, text

from services.chassis.bus.nats_bus import EVENTS_KEPT
from services.chassis.sql import Database, Transaction
from services.chassis.tables import INBOX

REMEMBERED = EVENTS_KEPT + timedelta(days=1)
"""Longer than the stream keeps messages: what is forgotten here cannot be delivered again."""
_INSERT = text(
    "INSERT INTO inbox (consumer, message_id, handled_time) VALUES (:consumer, :message_id, :handled_time)"
    " ON CONFLICT DO NOTHING"  # the same words in SQLite and PostgreSQL
).bindparams(bindparam("handled_time", type_=INBOX.c.handled_time.type))


async def first_time(tx: Transaction, consumer: str, message_id: str, now: datetime) -> bool:
    """Whether this message's effects belong into ``tx``; False when an earlier transaction has them."""
    values = {"consumer": consumer, "message_id": message_id, "handled_time": now}
    inserted = await tx.execute(_INSERT, values)
    return inserted.rowcount == 1


async def forget_old(database: Database, now: datetime) -> None:
    """Remove rows older than REMEMBERED."""
    async with database.begin() as tx:
        await tx.execute(delete(INBOX).where(INBOX.c.handled_time < now - REMEMBERED))
