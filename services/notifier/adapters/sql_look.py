"""Reading the books."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Select, and_, case, func, or_, select

from services.chassis.errors import InvalidInput, NotFound
from services.chassis.sql import Reader
from services.notifier.adapters.sql_rows import channel_from_row, delivery_from_row, topic_of
from services.notifier.adapters.sql_tables import CHANNELS, DELIVERIES
from services.notifier.domain.channel import Channel
from services.notifier.domain.delivery import Delivery, State
from services.notifier.domain.notification import Notification

MOST_DUE = 1000

PENDING = DELIVERIES.c.state == State.PENDING.value
FREE_AT = case(
    (DELIVERIES.c.claim_until > DELIVERIES.c.next_attempt_time, DELIVERIES.c.claim_until),
    else_=DELIVERIES.c.next_attempt_time,
)
"""When a pending delivery may be tried: not before its time, not while another courier has it."""
OLDEST_FIRST = (DELIVERIES.c.create_time, DELIVERIES.c.delivery_id)


class SqlLook:
    """`Look` within one look at the database."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def channels(self) -> Sequence[Channel]:
        result = await self._reader.execute(select(CHANNELS).order_by(CHANNELS.c.name))
        return [channel_from_row(row) for row in result.mappings()]

    async def channel(self, name: str) -> Channel:
        result = await self._reader.execute(select(CHANNELS).where(CHANNELS.c.name == name))
        row = result.mappings().first()
        if row is None:
            raise no_channel(name)
        return channel_from_row(row)

    async def due(self, channel: str, now: datetime) -> Sequence[Delivery]:
        query = select(DELIVERIES).where(PENDING, DELIVERIES.c.channel == channel, now >= FREE_AT)
        return await self._deliveries(query.order_by(*OLDEST_FIRST).limit(MOST_DUE))

    async def pending(self, channel: str) -> Sequence[Delivery]:
        return await self._deliveries(select(DELIVERIES).where(PENDING, DELIVERIES.c.channel == channel))

    async def told_since(self, notification: Notification, moment: datetime) -> bool:
        topic = topic_of(notification)
        same = [DELIVERIES.c.event_type == topic["event_type"], DELIVERIES.c.incident == topic["incident"]]
        query = select(DELIVERIES.c.delivery_id).where(*same, DELIVERIES.c.create_time >= moment)
        return await self._reader.scalar(query.limit(1)) is not None

    async def schedule(self) -> Sequence[tuple[str, datetime]]:
        query = (
            select(DELIVERIES.c.channel, func.min(FREE_AT).label("moment"))
            .where(PENDING)
            .group_by(DELIVERIES.c.channel)
        )
        return [(row["channel"], row["moment"]) for row in (await self._reader.execute(query)).mappings()]

    async def page(self, channel: str, size: int, after: str) -> Sequence[Delivery]:
        query = select(DELIVERIES)
        if channel:
            query = query.where(DELIVERIES.c.channel == channel)
        if after:
            position = select(*OLDEST_FIRST).where(DELIVERIES.c.delivery_id == after)
            last = (await self._reader.execute(position)).mappings().one_or_none()
            if last is None:
                raise InvalidInput(
                    "The page token is not one of this list, or its delivery has been forgotten.",
                    reason="PAGE_TOKEN_INVALID",
                    hint="Start again from the first page.",
                )
            time, name = last["create_time"], last["delivery_id"]
            created = DELIVERIES.c.create_time
            query = query.where(or_(created < time, and_(created == time, DELIVERIES.c.delivery_id < name)))
        newest_first = [column.desc() for column in OLDEST_FIRST]
        return await self._deliveries(query.order_by(*newest_first).limit(size))

    async def _deliveries(self, query: Select[tuple[object, ...]]) -> Sequence[Delivery]:
        return [delivery_from_row(row) for row in (await self._reader.execute(query)).mappings()]


def no_channel(name: str) -> NotFound:
    return NotFound(
        f"There is no channel {name[:80]!r}.",
        reason="CHANNEL_NOT_FOUND",
        hint="List the channels: xenkeep notify channels.",
    )
