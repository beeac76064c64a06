"""The books in memory: the fake of `Store`, held to the same law as the database."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from services.chassis.errors import AlreadyExists, InvalidInput, NotFound
from services.notifier.domain.channel import Channel
from services.notifier.domain.delivery import Delivery, State
from services.notifier.domain.notification import Notification

UNCLAIMED = datetime.min.replace(tzinfo=UTC)


@dataclass
class MemoryBooks:
    """`announced` are the deliveries whose failure was published."""

    by_name: dict[str, Channel] = field(default_factory=dict)
    by_id: dict[str, Delivery] = field(default_factory=dict)
    claims: dict[str, datetime] = field(default_factory=dict)
    announced: list[Delivery] = field(default_factory=list)

    async def channels(self) -> Sequence[Channel]:
        return [self.by_name[name] for name in sorted(self.by_name)]

    async def channel(self, name: str) -> Channel:
        if name not in self.by_name:
            raise NotFound(f"There is no channel {name!r}.", reason="CHANNEL_NOT_FOUND")
        return self.by_name[name]

    async def add_channel(self, channel: Channel, now: datetime) -> None:
        if channel.name in self.by_name:
            raise AlreadyExists(f"There is a channel {channel.name!r} already.", reason="CHANNEL_EXISTS")
        self.by_name[channel.name] = channel

    async def remove_channel(self, name: str) -> None:
        del self.by_name[(await self.channel(name)).name]

    async def add(self, delivery: Delivery) -> None:
        if _occasion(delivery) not in map(_occasion, self.by_id.values()):
            self.by_id[delivery.delivery_id] = delivery

    async def save(self, delivery: Delivery) -> None:
        if self.by_id[delivery.delivery_id].state is State.PENDING:
            self.by_id[delivery.delivery_id] = delivery
            self.claims.pop(delivery.delivery_id, None)

    async def claim(self, channel: str, now: datetime, until: datetime) -> Delivery | None:
        for delivery in await self.due(channel, now):
            self.claims[delivery.delivery_id] = until
            return delivery
        return None

    async def extend(self, delivery_id: str, until: datetime) -> None:
        if self.by_id[delivery_id].state is State.PENDING:
            self.claims[delivery_id] = until

    async def due(self, channel: str, now: datetime) -> Sequence[Delivery]:
        return [delivery for delivery in await self.pending(channel) if self._free_at(delivery) <= now]

    async def pending(self, channel: str) -> Sequence[Delivery]:
        return [
            each for each in self._oldest_first() if each.channel == channel and each.state is State.PENDING
        ]

    async def told_since(self, notification: Notification, moment: datetime) -> bool:
        topic = notification.event_type, notification.incident
        return any(
            (each.notification.event_type, each.notification.incident) == topic and each.create_time >= moment
            for each in self.by_id.values()
        )

    async def schedule(self) -> Sequence[tuple[str, datetime]]:
        waiting = [each for each in self._oldest_first() if each.state is State.PENDING]
        return [
            (channel, min(self._free_at(each) for each in waiting if each.channel == channel))
            for channel in sorted({each.channel for each in waiting})
        ]

    async def page(self, channel: str, size: int, after: str) -> Sequence[Delivery]:
        if after and after not in self.by_id:
            raise InvalidInput("The page token is not one of this list.", reason="PAGE_TOKEN_INVALID")
        newest_first = [each for each in self._oldest_first()[::-1] if not channel or each.channel == channel]
        if after:
            newest_first = [each for each in newest_first if _age(each) < _age(self.by_id[after])]
        return newest_first[:size]

    async def forget(self, finished_before: datetime) -> int:
        old = [
            key for key, each in self.by_id.items() if each.finish_time and each.finish_time < finished_before
        ]
        for key in old:
            del self.by_id[key]
        return len(old)

    async def announce_failed(self, delivery: Delivery) -> None:
        self.announced.append(replace(delivery))

    def _oldest_first(self) -> list[Delivery]:
        return sorted(self.by_id.values(), key=_age)

    def _free_at(self, delivery: Delivery) -> datetime:
        return max(delivery.next_attempt_time, self.claims.get(delivery.delivery_id, UNCLAIMED))


class MemoryStore:
    """One writer at a time, all or nothing, as the database does it."""

    def __init__(self) -> None:
        self.books = MemoryBooks()
        self._writer = asyncio.Lock()

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[MemoryBooks]:
        async with self._writer:
            changed = deepcopy(self.books)
            yield changed
            self.books = changed

    @asynccontextmanager
    async def read(self) -> AsyncIterator[MemoryBooks]:
        yield deepcopy(self.books)


def _occasion(delivery: Delivery) -> tuple[str, str, str]:
    return delivery.notification.event_id, delivery.channel, delivery.recipient


def _age(delivery: Delivery) -> tuple[datetime, str]:
    return delivery.create_time, delivery.delivery_id
