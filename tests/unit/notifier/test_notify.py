"""Who gets a delivery."""

from dataclasses import replace
from datetime import timedelta

from services.chassis.clock import FakeClock
from services.chassis.ids import SequentialIds
from services.notifier.adapters.memory_store import MemoryStore
from services.notifier.app.notify import Notify
from services.notifier.domain.channel import Channel
from services.notifier.domain.notification import Notification, Severity
from services.notifier.domain.settings import Email, Syslog, SyslogTransport
from tests.contract.notifier.samples import NOW, a_notification

LOG = Channel("log", Syslog("localhost", 514, SyslogTransport.UDP))
MAIL = Channel(
    "mail", Email("localhost", 587, "x@example.org", ("a@example.org", "b@example.org")), Severity.ERROR
)


class Scene:
    def __init__(self, *channels: Channel) -> None:
        self.clock = FakeClock(NOW)
        self.store = MemoryStore()
        self.store.books.by_name = {channel.name: channel for channel in channels}
        self.wakes = 0
        self.notify = Notify(SequentialIds("delivery"), self.clock, self._wake)

    def _wake(self) -> None:
        self.wakes += 1

    async def tell(self, notification: Notification) -> list[str]:
        """The recipients who newly have a delivery."""
        before = set(self.store.books.by_id)
        async with self.store.begin() as books:
            await self.notify.tell(books, notification)
        return [each.recipient for key, each in self.store.books.by_id.items() if key not in before]


async def test_every_recipient_of_every_channel_that_wants_it_gets_one() -> None:
    scene = Scene(LOG, MAIL)
    assert await scene.tell(a_notification()) == ["localhost:514", "a@example.org", "b@example.org"]
    assert scene.wakes == 1


async def test_nobody_is_woken_for_what_nobody_wants() -> None:
    scene = Scene(MAIL)
    assert await scene.tell(a_notification(severity=Severity.WARNING)) == []
    assert scene.wakes == 0


async def test_the_same_event_again_makes_no_second_delivery() -> None:
    scene = Scene(LOG)
    assert len(await scene.tell(a_notification())) == 1
    assert await scene.tell(a_notification()) == []


async def test_trouble_in_hundreds_is_told_once_in_its_quiet_time() -> None:
    scene = Scene(LOG)
    trouble = replace(a_notification(), quiet=timedelta(hours=1))
    other = replace(trouble, incident="channels/other")
    assert len(await scene.tell(replace(trouble, event_id="1"))) == 1
    assert await scene.tell(replace(trouble, event_id="2")) == []
    assert len(await scene.tell(replace(other, event_id="3"))) == 1
    await scene.clock.advance(3601)
    assert len(await scene.tell(replace(trouble, event_id="4"))) == 1
