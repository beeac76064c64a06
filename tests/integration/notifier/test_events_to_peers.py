"""From an event on a real bus to real peers, with the service's own database."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from google.protobuf.message import Message
from xenkeep.common.v1.capture_pb2 import Failure
from xenkeep.hypervisor.v1.events_pb2 import HostFailed, HostRecovered
from xenkeep.notifier.v1.events_pb2 import DeliveryFailed
from xenkeep.scheduler.v1.events_pb2 import RunFailed, RunFinished
from xenkeep.scheduler.v1.run_pb2 import PolicyRun, Run, RunSpec, Task

from services.chassis.bus import cloudevents, subjects
from services.chassis.bus.consumer import Consumer
from services.chassis.bus.nats_bus import Bus
from services.chassis.bus.outbox import Outbox
from services.chassis.bus.subscribe import tail
from services.chassis.clock import SystemClock
from services.chassis.ids import RandomIds
from services.chassis.sql import Database
from services.notifier.adapters.channel_files import ChannelFiles
from services.notifier.adapters.sink_table import SinkTable
from services.notifier.adapters.sql_books import SqlBooks
from services.notifier.adapters.sql_store import SqlStore
from services.notifier.app.courier import Courier
from services.notifier.app.notify import Notify
from services.notifier.consumers import handlers
from services.notifier.domain.channel import Channel
from services.notifier.domain.delivery import Delivery, State
from services.notifier.domain.notification import Severity
from services.notifier.domain.settings import Email, Sms, SmsTransport, Syslog, SyslogTransport
from tests.contract.notifier.rsyslog_peer import Rsyslog
from tests.contract.notifier.smpp_peer import smpp_peer
from tests.contract.notifier.smtp_peer import smtp_peer
from tests.support.nats import NatsServer
from tests.support.ports import free_port
from tests.support.waiting import until

DB = Task(
    name="runs/r/tasks/db",
    subject_display_name="db",
    state=Task.STATE_FAILED,
    failure=Failure(message="the SR is full", hint="Make room."),
)
FAILED = RunFailed(
    run=Run(name="runs/r", spec=RunSpec(policy=PolicyRun(policy="policies/nightly")), tasks=[DB])
)


class AtWork:
    """A notifier at work, and what it knows."""

    def __init__(self, bus: Bus, store: SqlStore) -> None:
        self.bus = bus
        self.store = store

    async def channel(self, channel: Channel) -> None:
        async with self.store.begin() as books:
            await books.add_channel(channel, SystemClock().now())

    async def happen(self, event: Message, event_id: str) -> None:
        envelope = cloudevents.wrap(
            event, id=event_id, source="xenkeep://service/test", subject_id="", time=SystemClock().now()
        )
        subject = subjects.of_event(type(event))
        await self.bus.publish(subject, envelope.body, envelope.headers, event_id)

    async def ended(self, count: int) -> list[Delivery]:
        """All deliveries, once `count` of them have ended."""

        async def enough() -> list[Delivery]:
            async with self.store.read() as look:
                found = [each for each in await look.page("", 100, "") if each.state is not State.PENDING]
            return found if len(found) >= count else []

        return await until(enough)


@asynccontextmanager
async def at_work(database: Database, bus: Bus, files: ChannelFiles) -> AsyncIterator[AtWork]:
    clock, store = SystemClock(), SqlStore(database)
    courier = Courier(store, SinkTable(files, "keeper"), clock, keep=timedelta(days=1))
    notify = Notify(RandomIds(), clock, courier.wake)
    consumer = Consumer(bus, database, "notifier", handlers(notify, SqlBooks))
    jobs = [asyncio.create_task(each.run()) for each in (courier, consumer, Outbox(database, bus))]
    try:
        yield AtWork(bus, store)
    finally:
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)


@pytest.fixture
async def notifier(
    tmp_path: Path, nats_server: NatsServer, channel_files: ChannelFiles
) -> AsyncIterator[AtWork]:
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(
            Database(f"sqlite+aiosqlite:///{tmp_path}/notifier.sqlite", "notifier")
        )
        await database.migrate("services.notifier.migrations")
        bus = await stack.enter_async_context(nats_server.bus("notifier"))
        yield await stack.enter_async_context(at_work(database, bus, channel_files))


async def test_one_event_reaches_every_channel_that_wants_it(
    notifier: AtWork, rsyslog: Rsyslog, pki_dir: Path
) -> None:
    async with smtp_peer(pki_dir) as relay, smpp_peer() as centre:
        log = Syslog("127.0.0.1", rsyslog.tcp_port, SyslogTransport.TCP)
        everybody = ("a@example.org", "b@example.org")
        mail = Email("localhost", relay.port, "x@example.org", everybody, ca_file="ca.pem")
        sms = Sms(
            "127.0.0.1", centre.port, SmsTransport.TCP, "keeper", "password.txt", "Xenkeep", ("+49151",)
        )
        await notifier.channel(Channel("log", log))
        await notifier.channel(Channel("mail", mail, Severity.WARNING))
        await notifier.channel(Channel("sms", sms, Severity.ERROR))
        await notifier.happen(FAILED, "event-1")
        await notifier.happen(RunFinished(run=Run(name="runs/s", tasks=[])), "event-2")
        deliveries = await notifier.ended(5)
        logged = await rsyslog.parsed(2)

        assert {(each.channel, each.state) for each in deliveries} == {
            ("log", State.DELIVERED),
            ("mail", State.DELIVERED),
            ("sms", State.DELIVERED),
        }
        assert [each["msgid"] for each in logged] == ["RunFailed", "RunFinished"]
        assert sorted(recipients for recipients, _ in relay.mails) == [["a@example.org"], ["b@example.org"]]
        assert {mail["Subject"] for _, mail in relay.mails} == {"[FAIL] nightly: 1 of 1 VM not backed up"}
        assert [message.recipient for message in centre.messages] == ["49151"]


async def test_the_same_event_again_tells_nobody_again(notifier: AtWork, rsyslog: Rsyslog) -> None:
    await notifier.channel(Channel("log", Syslog("127.0.0.1", rsyslog.tcp_port, SyslogTransport.TCP)))
    event = HostFailed(pool="pools/p", host_id="h", host_display_name="xs1")
    envelope = cloudevents.wrap(
        event, id="event-1", source="xenkeep://service/test", subject_id="", time=SystemClock().now()
    )
    for attempt in ("first", "second"):  # two messages for JetStream, one event for us
        await notifier.bus.publish(subjects.of_event(HostFailed), envelope.body, envelope.headers, attempt)
    await notifier.happen(HostRecovered(pool="pools/p", host_id="h"), "event-2")
    await notifier.ended(2)
    assert [each["msgid"] for each in await rsyslog.parsed(2)] == ["HostFailed", "HostRecovered"]


async def test_a_channel_that_fails_for_good_is_told_through_the_others(
    notifier: AtWork, rsyslog: Rsyslog, pki_dir: Path
) -> None:
    async with smtp_peer(pki_dir) as relay:
        relay.refusals["gone@example.org"] = "550 5.1.1 no such user"
        gone = Email("localhost", relay.port, "x@example.org", ("gone@example.org",), ca_file="ca.pem")
        await notifier.channel(Channel("mail", gone))
        await notifier.channel(Channel("log", Syslog("127.0.0.1", rsyslog.tcp_port, SyslogTransport.TCP)))
        announced = tail(notifier.bus, [DeliveryFailed], since=SystemClock().now() - timedelta(minutes=1))
        await notifier.happen(FAILED, "event-1")
        event, meta = await anext(announced)
        await announced.aclose()
        logged = await rsyslog.parsed(2)
    assert meta.subject == event.delivery.name
    assert event.delivery.channel == "channels/mail"
    assert "550" in event.delivery.message
    assert [each["msgid"] for each in logged] == ["RunFailed", "DeliveryFailed"]
    assert "gone@example.org" in logged[1]["msg"]


async def test_a_dead_channel_delays_no_other(notifier: AtWork, rsyslog: Rsyslog) -> None:
    await notifier.channel(Channel("dead", Syslog("127.0.0.1", free_port(), SyslogTransport.TCP)))
    await notifier.channel(Channel("log", Syslog("127.0.0.1", rsyslog.tcp_port, SyslogTransport.TCP)))
    await notifier.happen(FAILED, "event-1")
    [delivered] = await notifier.ended(1)
    assert delivered.channel == "log"
    async with notifier.store.read() as look:
        [waiting] = await look.pending("dead")
    assert "cannot be reached" in waiting.detail or waiting.attempts == 0
