"""A certificate is a NATS user that may do what its service needs, and no more."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import nats.errors
import pytest
from nats.aio.client import Client
from nats.js.api import AckPolicy, ConsumerConfig
from xenkeep.home import SERVICES, Home
from xenkeep.local import processes
from xenkeep.local.nats_config import DEAD, EVENTS, WORK
from xenkeep.local.setup import init
from xenkeep.local.supervisor import Supervisor

from services.chassis.bus import subjects
from services.chassis.bus.nats_bus import Bus
from services.chassis.tls import TlsFiles, nats_context

PATIENCE_S = 30.0


class Server:
    """NATS as `xenkeep up` runs it; ``refusals`` are its answers to what is not allowed."""

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


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    home = init(tmp_path / "home", "lab", any_port=True)
    supervisor = Supervisor(tmp_path / "logs", print)
    await supervisor.start(processes.nats(home))
    async with Bus([home.nats_url], TlsFiles(*home.certificate("notifier")), "notifier"):
        pass  # any service makes the streams
    yield Server(home)
    await supervisor.stop()


def test_the_streams_are_those_of_the_chassis() -> None:
    assert (subjects.EVENTS, subjects.WORK, subjects.DEAD) == (EVENTS, WORK, DEAD)


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


async def test_a_service_does_not_listen_to_others(server: Server) -> None:
    async with server.client("notifier") as client:
        await client.subscribe("xenkeep.>")
        refusal = await asyncio.wait_for(server.refusals.get(), PATIENCE_S)

    assert 'permissions violation for subscription to "xenkeep.>"' in refusal


async def test_a_certificate_of_nobody_is_refused(server: Server) -> None:
    """That of the server itself: of the same authority, and no user."""
    with pytest.raises((nats.errors.Error, OSError)):
        async with server.client("nats"):
            pass
