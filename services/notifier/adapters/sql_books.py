"""Writing the books."""

from datetime import datetime

from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from xenkeep.notifier.v1.events_pb2 import DeliveryFailed

from services.chassis.errors import AlreadyExists
from services.chassis.sql import Transaction
from services.notifier.adapters.sql_look import FREE_AT, OLDEST_FIRST, PENDING, SqlLook, no_channel
from services.notifier.adapters.sql_rows import channel_to_row, delivery_from_row, delivery_to_row
from services.notifier.adapters.sql_tables import CHANNELS, DELIVERIES
from services.notifier.domain.channel import Channel
from services.notifier.domain.delivery import Delivery
from services.notifier.wire import delivery_to_proto


class SqlBooks(SqlLook):
    """`Books` within one transaction."""

    def __init__(self, transaction: Transaction) -> None:
        super().__init__(transaction)
        self._transaction = transaction

    async def add_channel(self, channel: Channel, now: datetime) -> None:
        try:
            await self._transaction.execute(
                insert(CHANNELS).values(**channel_to_row(channel), create_time=now)
            )
        except IntegrityError as error:
            raise AlreadyExists(
                f"There is a channel {channel.name!r} already.",
                reason="CHANNEL_EXISTS",
                hint="Choose another name, or delete that one first.",
            ) from error

    async def remove_channel(self, name: str) -> None:
        removed = await self._transaction.execute(delete(CHANNELS).where(CHANNELS.c.name == name))
        if not removed.rowcount:
            raise no_channel(name)

    async def add(self, delivery: Delivery) -> None:
        row = delivery_to_row(delivery)
        same = [DELIVERIES.c[key] == row[key] for key in ("event_id", "channel", "recipient")]
        if await self._transaction.scalar(select(DELIVERIES.c.delivery_id).where(*same)) is None:
            await self._transaction.execute(insert(DELIVERIES).values(**row))

    async def save(self, delivery: Delivery) -> None:
        row = delivery_to_row(delivery)
        await self._transaction.execute(
            update(DELIVERIES).where(DELIVERIES.c.delivery_id == delivery.delivery_id, PENDING).values(**row)
        )

    async def claim(self, channel: str, now: datetime, until: datetime) -> Delivery | None:
        query = select(DELIVERIES).where(PENDING, DELIVERIES.c.channel == channel, now >= FREE_AT)
        row = (await self._transaction.execute(query.order_by(*OLDEST_FIRST).limit(1))).mappings().first()
        if row is None:
            return None
        await self.extend(row["delivery_id"], until)
        return delivery_from_row(row)

    async def extend(self, delivery_id: str, until: datetime) -> None:
        claimed = update(DELIVERIES).where(DELIVERIES.c.delivery_id == delivery_id, PENDING)
        await self._transaction.execute(claimed.values(claim_until=until))

    async def forget(self, finished_before: datetime) -> int:
        removed = await self._transaction.execute(
            delete(DELIVERIES).where(DELIVERIES.c.finish_time < finished_before)
        )
        return removed.rowcount

    async def announce_failed(self, delivery: Delivery) -> None:
        told = delivery_to_proto(delivery)
        await self._transaction.publish(DeliveryFailed(delivery=told), subject_id=told.name)
