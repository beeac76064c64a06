"""Look after the channels."""

from collections.abc import Collection, Sequence
from dataclasses import replace

from services.chassis.clock import Clock
from services.chassis.ids import IdSource
from services.notifier.app.attempt import attempt
from services.notifier.domain.channel import Channel, check_event_types
from services.notifier.domain.delivery import Delivery, State
from services.notifier.domain.notification import Notification, Severity
from services.notifier.ports import Sinks, Store


class ChannelDesk:
    """`known_events` are the event types that make notifications."""

    def __init__(
        self, store: Store, sinks: Sinks, known_events: Collection[str], ids: IdSource, clock: Clock
    ) -> None:
        self._store = store
        self._sinks = sinks
        self._known_events = known_events
        self._ids = ids
        self._clock = clock

    async def create(self, channel: Channel) -> Channel:
        """Raises `AlreadyExists`, and `InvalidInput` for event types nobody is told of."""
        check_event_types(channel, self._known_events)
        async with self._store.begin() as books:
            await books.add_channel(channel, self._clock.now())
        return channel

    async def page(self, size: int, after: str) -> tuple[Sequence[Channel], str]:
        """`size` channels by name, behind the name `after`, and the name to go on behind (empty: the end)."""
        async with self._store.read() as look:
            found = [channel for channel in await look.channels() if channel.name > after]
        shown = found[:size]
        return shown, shown[-1].name if len(found) > size else ""

    async def delete(self, name: str) -> None:
        """What was on its way there fails, and says why. Raises `NotFound`."""
        async with self._store.begin() as books:
            await books.remove_channel(name)
            for delivery in await books.pending(name):
                now = self._clock.now()
                await books.save(
                    replace(delivery, state=State.FAILED, detail="The channel was removed.", finish_time=now)
                )

    async def test(self, name: str) -> Delivery:
        """Send a test message to every recipient, once, and wait for the peer's answers.

        A peer that is down is asked once. Returns the first delivery that failed, or the first when all
        arrived. Raises `NotFound`.
        """
        async with self._store.read() as look:
            channel = await look.channel(name)
        tried: list[Delivery] = []
        channel_failure = ""
        for delivery in self._test_deliveries(channel):
            if channel_failure:
                tried.append(delivery.refused(channel_failure, self._clock.now(), final=True))
                continue
            outcome = await attempt(self._sinks, channel, delivery, self._clock)
            tried.append(self._once(outcome.delivery))
            channel_failure = outcome.channel_failure
        async with self._store.begin() as books:
            for delivery in tried:
                await books.add(delivery)
        return next((delivery for delivery in tried if delivery.state is State.FAILED), tried[0])

    def _test_deliveries(self, channel: Channel) -> Sequence[Delivery]:
        now = self._clock.now()
        notification = Notification(
            event_id=self._ids.new(),
            event_type="",
            severity=Severity.INFO,
            incident=f"channels/{channel.name}",
            about=f"channel {channel.name}",
            headline="this is a test; nothing happened",
            occurred_at=now,
        )
        return [
            Delivery(self._ids.new(), channel.name, recipient, notification, now, now)
            for recipient in channel.settings.recipients
        ]

    def _once(self, delivery: Delivery) -> Delivery:
        """A test is not repeated later, when nobody waits for it any more."""
        if delivery.state is not State.PENDING:
            return delivery
        return replace(delivery, state=State.FAILED, finish_time=self._clock.now())
