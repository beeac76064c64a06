"""Tell whoever wants to know."""

from collections.abc import Callable

import structlog

from services.chassis.clock import Clock
from services.chassis.ids import IdSource
from services.notifier.domain.delivery import Delivery
from services.notifier.domain.notification import Notification
from services.notifier.ports import Books

_log = structlog.get_logger("xenkeep.notifier")


class Notify:
    """Turns a notification into deliveries."""

    def __init__(self, ids: IdSource, clock: Clock, wake_courier: Callable[[], None]) -> None:
        """`wake_courier` may be called before the books are closed: the courier waits for that."""
        self._ids = ids
        self._clock = clock
        self._wake_courier = wake_courier

    async def tell(self, books: Books, notification: Notification) -> int:
        """Write one delivery per recipient of every channel that wants it; returns how many."""
        now = self._clock.now()
        if notification.quiet and await books.told_since(notification, now - notification.quiet):
            _log.info("not told again so soon", type=notification.event_type, incident=notification.incident)
            return 0
        written = 0
        for channel in await books.channels():
            if not channel.wants(notification):
                continue
            for recipient in channel.settings.recipients:
                await books.add(
                    Delivery(
                        delivery_id=self._ids.new(),
                        channel=channel.name,
                        recipient=recipient,
                        notification=notification,
                        create_time=now,
                        next_attempt_time=now,
                    )
                )
                written += 1
        if written:
            self._wake_courier()
        return written
