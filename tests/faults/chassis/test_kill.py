"""Processes of ours are killed between two steps, with SIGKILL, and started again."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from services.chassis.bus import subjects
from services.chassis.bus.nats_bus import Bus
from services.chassis.bus.outbox import Outbox
from services.chassis.sql import Database
from tests.support.nats import NatsServer
from tests.support.notes import MIGRATIONS, notes, store
from tests.support.waiting import PATIENCE_S

pytestmark = pytest.mark.scenario(47)

VICTIM = "tests.support.victim"


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with store(tmp_path) as made:
        await made.migrate(MIGRATIONS)
        yield made


async def victim(scene: str, tmp_path: Path, server: NatsServer) -> int:
    """The exit status of a process that plays ``scene`` of tests.support.victim."""
    arguments: Sequence[str] = ("-m", VICTIM, scene, str(tmp_path), server.url, str(server.pki))
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments)
    return await asyncio.wait_for(process.wait(), PATIENCE_S)


async def published(bus: Bus) -> list[bytes]:
    state = (await bus.js.stream_info(subjects.EVENTS)).state
    return [(await bus.js.get_msg(subjects.EVENTS, n)).data or b"" for n in range(1, state.last_seq + 1)]


@pytest.mark.parametrize("scene", ["die-after-commit", "die-after-publish"])
async def test_an_event_is_published_exactly_once_whenever_the_process_is_killed(
    scene: str, tmp_path: Path, nats_server: NatsServer, database: Database
) -> None:
    assert await victim(scene, tmp_path, nats_server) == -signal.SIGKILL
    async with nats_server.bus() as bus:
        await Outbox(database, bus).flush()
        await Outbox(database, bus).flush()
        assert await published(bus) == [b'{"restorePoint":"restorePoints/p1"}']


async def test_nothing_is_published_when_killed_before_the_commit(
    tmp_path: Path, nats_server: NatsServer, database: Database
) -> None:
    assert await victim("die-before-commit", tmp_path, nats_server) == -signal.SIGKILL
    async with nats_server.bus() as bus, database.read() as look:
        await Outbox(database, bus).flush()
        assert await published(bus) == []
        assert await notes(look) == []


@pytest.mark.parametrize("scene", ["consume-and-die-before-commit", "consume-and-die-after-commit"])
async def test_an_event_is_applied_exactly_once_whenever_the_consumer_is_killed(
    scene: str, tmp_path: Path, nats_server: NatsServer, database: Database
) -> None:
    assert await victim("die-after-commit", tmp_path, nats_server) == -signal.SIGKILL
    async with nats_server.bus() as bus:
        await Outbox(database, bus).flush()
    assert await victim(scene, tmp_path, nats_server) == -signal.SIGKILL
    assert await victim("consume-until-idle", tmp_path, nats_server) == 0
    async with database.read() as look:
        # The first note is of the process that published; the second is the event's only effect.
        assert await notes(look) == ["restorePoints/p1", "seen restorePoints/p1"]
