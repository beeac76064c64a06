"""kill -9 at the worst moments; nothing that was to be told is lost."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from xenkeep.common.v1.capture_pb2 import Failure
from xenkeep.notifier.v1 import notifier_pb2 as pb
from xenkeep.scheduler.v1.events_pb2 import TaskFailed
from xenkeep.scheduler.v1.run_pb2 import Task

from services.chassis.bus import cloudevents, subjects
from services.chassis.clock import SystemClock
from tests.contract.notifier.smpp_peer import smpp_peer
from tests.contract.notifier.smtp_peer import MailRelay, smtp_peer
from tests.faults.notifier.notifier_process import NotifierProcess
from tests.support.nats import NatsServer
from tests.support.waiting import until


@pytest.fixture
async def notifier(tmp_path: Path, nats_server: NatsServer, pki_dir: Path) -> AsyncIterator[NotifierProcess]:
    process = NotifierProcess(nats_server, tmp_path / "notifier", pki_dir)
    await process.start()
    yield process
    await process.kill()


async def mail_channel(notifier: NotifierProcess, relay: MailRelay) -> None:
    email = pb.EmailSink(
        host="localhost",
        port=relay.port,
        sender="x@example.org",
        recipients=["a@example.org"],
        ca_file="ca.pem",
    )
    async with notifier.stub() as stub:
        await stub.CreateChannel(
            pb.CreateChannelRequest(channel=pb.Channel(name="channels/mail", email=email))
        )


async def happen(nats_server: NatsServer, *event_ids: str) -> None:
    event = TaskFailed(task=Task(subject_display_name="db", failure=Failure(message="the SR is full")))
    async with nats_server.bus("scheduler") as bus:
        for event_id in event_ids:
            envelope = cloudevents.wrap(
                event,
                id=event_id,
                source="xenkeep://service/scheduler",
                subject_id="",
                time=SystemClock().now(),
            )
            await bus.publish(subjects.of_event(TaskFailed), envelope.body, envelope.headers, event_id)


async def delivered(notifier: NotifierProcess, count: int) -> list[pb.Delivery]:
    async with notifier.stub() as stub:

        async def enough() -> list[pb.Delivery]:
            listed = (await stub.ListDeliveries(pb.ListDeliveriesRequest())).deliveries
            done = [each for each in listed if each.state == pb.Delivery.STATE_DELIVERED]
            return done if len(done) >= count else []

        return await until(enough)


class SlowRelay(MailRelay):
    """Takes the first mail and never gets to say so."""

    def __init__(self) -> None:
        super().__init__()
        self.took = asyncio.Event()

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        answer = await super().handle_DATA(server, session, envelope)
        if not self.took.is_set():
            self.took.set()
            await asyncio.Event().wait()
        return answer


async def test_killed_while_the_peer_answers_it_sends_the_same_mail_again(
    notifier: NotifierProcess, nats_server: NatsServer, pki_dir: Path
) -> None:
    slow = SlowRelay()
    async with smtp_peer(pki_dir, relay=slow) as relay:
        await mail_channel(notifier, relay)
        await happen(nats_server, "event-1")
        await slow.took.wait()
        await notifier.kill()
        await notifier.start()
        [delivery] = await delivered(notifier, 1)
        first, again = [mail for _, mail in relay.mails]
    assert first["Message-ID"] == again["Message-ID"]
    assert first.as_bytes() == again.as_bytes()
    assert (delivery.confirmed, delivery.event_type) == (True, "xenkeep.scheduler.v1.TaskFailed")


async def test_killed_amid_a_stream_of_events_every_one_is_told(
    notifier: NotifierProcess, nats_server: NatsServer, pki_dir: Path
) -> None:
    event_ids = [f"event-{number}" for number in range(60)]
    async with smtp_peer(pki_dir) as relay:
        await mail_channel(notifier, relay)
        publishing = asyncio.create_task(happen(nats_server, *event_ids))
        await relay.received(20)
        await notifier.kill()
        await notifier.start()
        await publishing
        deliveries = await delivered(notifier, len(event_ids))
        told = [mail["Message-ID"] for _, mail in relay.mails]
    assert len(deliveries) == len(event_ids)
    assert len(set(told)) == len(event_ids)
    assert len(told) <= len(event_ids) + 1  # what was under way is repeated, at most


async def test_asked_to_stop_it_ends_well_and_its_log_has_no_secret(
    notifier: NotifierProcess, pki_dir: Path
) -> None:
    (pki_dir / "password.txt").write_text("hunter2\n")
    async with smtp_peer(pki_dir, login=True) as relay, smpp_peer() as centre, notifier.stub() as stub:
        email = pb.EmailSink(
            host="localhost",
            port=relay.port,
            sender="x@example.org",
            recipients=["a@example.org"],
            username="keeper",
            password_file="password.txt",
            ca_file="ca.pem",
        )
        sms = pb.SmsSink(
            host="127.0.0.1",
            port=centre.port,
            transport=pb.SmsSink.TRANSPORT_TCP,
            system_id="keeper",
            password_file="password.txt",
            recipients=["+49151"],
        )
        for channel in (pb.Channel(name="mail", email=email), pb.Channel(name="sms", sms=sms)):
            await stub.CreateChannel(pb.CreateChannelRequest(channel=channel))
            delivery = await stub.TestChannel(pb.TestChannelRequest(name=f"channels/{channel.name}"))
            assert delivery.state == pb.Delivery.STATE_DELIVERED
    assert await notifier.stop() == 0
    log = notifier.log.read_text()
    assert "hunter2" not in log
    assert "stopped" in log
