"""A certificate is a NATS user that may do what its service needs, and no more; in containers, too."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import nats.errors
import pytest
from nats.aio.client import Client
from nats.js.api import AckPolicy, ConsumerConfig
from xenkeep.home import SERVICES, Home
from xenkeep.local import processes
from xenkeep.local.nats_config import DEAD, EVENTS, WORK, inbox
from xenkeep.local.setup import init
from xenkeep.local.supervisor import Supervisor

from deploy.certificates import InitConfig, hand_out
from services.chassis.bus import subjects
from services.chassis.bus.nats_bus import Bus
from services.chassis.tls import TlsFiles, nats_context
from tests.support.waiting import PATIENCE_S

CONTAINERS_FILE = Path(__file__).parents[3] / "deploy" / "nats.conf"


class Server:
    """NATS of a home; ``refusals`` are its answers to what is not allowed."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.refusals: asyncio.Queue[str] = asyncio.Queue()

    @asynccontextmanager
    async def client(self, identity: str) -> AsyncIterator[Client]:
        async def note(error: Exception) -> None:
            self.refusals.put_nowait(str(error))

        client = Client()
        await client.connect(
            self.home.nats_url,
            tls=nats_context(TlsFiles(*self.home.certificate(identity))),
            tls_handshake_first=True,
            inbox_prefix=inbox(identity),
            allow_reconnect=False,
            error_cb=note,
        )
        try:
            yield client
        finally:
            await client.close()

    async def refused(self, request: Coroutine[Any, Any, object]) -> bool:
        """Whether the server says that this is not allowed, or answers it."""
        asking, refusing = asyncio.ensure_future(request), asyncio.ensure_future(self.refusals.get())
        await asyncio.wait([asking, refusing], return_when=asyncio.FIRST_COMPLETED)
        refused = refusing.done()
        if refused:
            assert "permissions violation" in refusing.result()
        for task in (asking, refusing):
            task.cancel()
        await asyncio.gather(asking, refusing, return_exceptions=True)
        return refused

    async def may_publish(self, identity: str, subject: str) -> bool:
        """Whether JetStream takes a message from ``identity``."""
        async with self.client(identity) as client:
            stream = client.jetstream(timeout=PATIENCE_S)
            return not await self.refused(stream.publish(subject, b"{}"))


def of_this_machine(folder: Path) -> tuple[Home, processes.Program]:
    """NATS as `xenkeep up` runs it."""
    home = init(folder / "home", "lab", any_port=True)
    return home, processes.nats(home)


def of_the_containers(folder: Path) -> tuple[Home, processes.Program]:
    """NATS as docker-compose.yml runs it, with the container's folders and address exchanged for ours."""
    home, program = of_this_machine(folder)
    hand_out(folder / "pki", InitConfig(site="lab"))
    (folder / "tls").symlink_to(folder / "pki" / "nats")
    text = CONTAINERS_FILE.read_text("utf-8")
    for theirs, ours in (
        ("/etc/xenkeep", str(folder)),
        ("/var/lib/xenkeep", str(folder)),
        ("0.0.0.0:4222", home.nats_url.removeprefix("tls://")),
        ('http: "127.0.0.1:8222"', ""),
    ):
        assert theirs in text
        text = text.replace(theirs, ours)
    file = folder / "nats.conf"
    file.write_text(text, "utf-8")
    home = replace(home, path=folder / "home of containers")
    home.path.mkdir()
    (home.path / "pki").symlink_to(folder / "pki" / "authority")
    return home, replace(program, command=(program.command[0], "-c", str(file)))


@pytest.fixture(params=[of_this_machine, of_the_containers])
async def server(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Server]:
    home, program = request.param(tmp_path)
    supervisor = Supervisor(tmp_path / "logs", print)
    await supervisor.start(program)
    async with Bus([home.nats_url], TlsFiles(*home.certificate("notifier")), "notifier"):
        pass  # any service makes the streams
    yield Server(home)
    await supervisor.stop()


def test_the_streams_are_those_of_the_chassis() -> None:
    assert (subjects.EVENTS, subjects.WORK, subjects.DEAD) == (EVENTS, WORK, DEAD)


def test_services_are_answered_where_they_may_listen() -> None:
    assert [subjects.inbox(name) for name in SERVICES] == [inbox(name) for name in SERVICES]


async def test_a_service_publishes_its_own_events_and_no_others(server: Server) -> None:
    allowed = {
        (service, publisher)
        for service in SERVICES
        for publisher in SERVICES
        if await server.may_publish(service, f"xenkeep.{publisher}.v1.Something")
    }

    assert {(service, service) for service in SERVICES} == allowed


async def test_a_mover_cannot_say_that_a_run_finished(server: Server) -> None:
    assert not await server.may_publish("mover", "xenkeep.scheduler.v1.RunFinished")


async def test_only_the_scheduler_and_movers_give_work(server: Server) -> None:
    allowed = {name for name in SERVICES if await server.may_publish(name, "xenkeep.work.lab.transfer")}

    assert {"scheduler", "mover"} == allowed


async def test_dead_letters_are_put_where_they_belong(server: Server) -> None:
    assert await server.may_publish("notifier", "xenkeep.dead.notifier")
    assert not await server.may_publish("notifier", "xenkeep.dead.scheduler")


async def test_a_notifier_can_neither_take_work_nor_remove_anything(server: Server) -> None:
    config = ConsumerConfig(durable_name="work-lab-transfer", ack_policy=AckPolicy.EXPLICIT)
    async with server.client("notifier") as client:
        stream = client.jetstream(timeout=PATIENCE_S)
        assert await server.refused(stream.add_consumer(WORK, config))
        for name in (EVENTS, WORK):
            assert await server.refused(stream.purge_stream(name))
            assert await server.refused(stream.delete_stream(name))
        assert await server.refused(stream.delete_consumer(EVENTS, "scheduler"))
        assert not await server.refused(stream.stream_info(EVENTS))


@pytest.mark.parametrize(
    "subject", ["xenkeep.>", ">", "_INBOX.>", "_INBOX.*.>", "_INBOX.mover.>", "_INBOX.mover", "$JS.>"]
)
async def test_a_service_does_not_listen_to_others(server: Server, subject: str) -> None:
    async with server.client("notifier") as client:
        await client.subscribe(subject)
        refusal = await asyncio.wait_for(server.refusals.get(), PATIENCE_S)

    assert f'permissions violation for subscription to "{subject.lower()}"' in refusal.lower()


async def test_a_service_hears_its_own_answers_and_cannot_answer_for_another(server: Server) -> None:
    async with server.client("mover") as mover, server.client("notifier") as notifier:
        assert await mover.jetstream(timeout=PATIENCE_S).stream_info(EVENTS)
        await notifier.publish(f"{inbox('mover')}.forged", b"{}")
        refusal = await asyncio.wait_for(server.refusals.get(), PATIENCE_S)

    assert "permissions violation for publish" in refusal


async def test_what_jetstream_delivers_elsewhere_for_a_service_stays_that_services_own(
    server: Server,
) -> None:
    """A request may name any subject for the answer; NATS stores it under the subject it was published at."""
    event = "xenkeep.notifier.v1.Something"
    config = ConsumerConfig(durable_name="notifier", ack_policy=AckPolicy.EXPLICIT)
    async with server.client("notifier") as client, server.client("admin") as admin:
        stream = client.jetstream(timeout=PATIENCE_S)
        await stream.publish(event, b"{}")
        await stream.add_consumer(EVENTS, config)
        work = await admin.subscribe("xenkeep.work.>")
        await admin.flush()
        request = f"$JS.API.CONSUMER.MSG.NEXT.{EVENTS}.notifier"
        await client.publish(request, b'{"batch":1}', reply="xenkeep.work.lab.transfer")
        message = await work.next_msg(timeout=PATIENCE_S)
        stored = await admin.jetstream(timeout=PATIENCE_S).stream_info(WORK, subjects_filter=">")

    assert event == message.subject
    assert stored.state.subjects in (None, {event: 1})


async def test_a_certificate_of_nobody_is_refused(server: Server) -> None:
    """That of the server itself: of the same authority, and no user."""
    with pytest.raises((nats.errors.Error, OSError)):
        async with server.client("nats"):
            pass
