import asyncio
import json
import os
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.struct_pb2 import Struct
from xenkeep.catalog.v1.events_pb2 import RestorePointRemoved

from services.chassis.bus.cloudevents import Meta
from services.chassis.config import BaseConfig, Secret, option
from services.chassis.program import Component
from services.chassis.rpc.channel import channel
from services.chassis.serve import Base, usage
from services.chassis.sql import Database, Transaction
from services.chassis.tls import TlsFiles
from tests.support.echo import Echo, EchoStub, add_echo, struct
from tests.support.nats import NatsServer
from tests.support.notes import MIGRATIONS, note, notes, removed
from tests.support.ports import free_port
from tests.support.waiting import PATIENCE_S

PROGRAM = f"""
from {__name__} import Notes, compose
from services.chassis.serve import serve
serve("notes", Notes, compose)
"""


@dataclass(frozen=True, kw_only=True)
class Notes(BaseConfig):
    listen: str = field(default="127.0.0.1:0", metadata=option("where"))
    password: Secret = field(metadata=option("what opens it"))


class Publishing(Echo):
    """A service whose calls publish an event that it consumes itself."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def Ask(self, request: Struct, context: Any) -> Struct:
        async with self._database.begin() as tx:
            await tx.publish(removed("p1"), subject_id="restorePoints/p1")
        return request

    async def Watch(self, request: Struct, context: Any) -> Any:
        async with self._database.read() as look:
            for text in await notes(look):
                yield struct(text=text)


async def written_down(tx: Transaction, event: RestorePointRemoved, meta: Meta) -> None:
    await note(tx, f"{meta.subject} is gone")


def compose(base: Base[Notes]) -> list[Component]:
    database, bus = base.database(MIGRATIONS), base.bus()
    return [
        database,
        bus,
        base.outbox(database, bus),
        base.consumer(database, bus, {RestorePointRemoved: written_down}),
        base.rpc([(add_echo, Publishing(database), {"scheduler"})]),
    ]


def environment(tmp_path: Path, server: NatsServer, tls: TlsFiles, port: int) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "XENKEEP_LISTEN": f"127.0.0.1:{port}",
        "XENKEEP_DATA_DIR": str(tmp_path / "data"),
        "XENKEEP_NATS_URL": server.url,
        "XENKEEP_TLS_CA": str(tls.ca),
        "XENKEEP_TLS_CERT": str(tls.cert),
        "XENKEEP_TLS_KEY": str(tls.key),
        "XENKEEP_PASSWORD": "hunter2",
        "XENKEEP_METRICS_LISTEN": "127.0.0.1:0",
    }


async def started(env: dict[str, str], log: int = asyncio.subprocess.PIPE) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, env=env, stderr=log, cwd=Path(__file__).parents[3]
    )


async def lines_until(process: asyncio.subprocess.Process, event: str) -> list[dict[str, Any]]:
    assert process.stderr is not None
    lines: list[dict[str, Any]] = []
    async with asyncio.timeout(PATIENCE_S):
        while line := await process.stderr.readline():
            lines.append(json.loads(line))
            if lines[-1]["event"] == event:
                return lines
    raise AssertionError(f"{event!r} was never said, but {lines}")


async def test_a_whole_service_starts_works_and_stops_and_its_log_is_json_without_secrets(
    tmp_path: Path, nats_server: NatsServer, port: int
) -> None:
    process = await started(environment(tmp_path, nats_server, nats_server.tls("notes"), port))
    before = await lines_until(process, "ready")
    async with channel(f"127.0.0.1:{port}", nats_server.tls("scheduler")) as way:
        await EchoStub(way).Ask(struct(a=1))
        async with asyncio.timeout(PATIENCE_S):
            while not (texts := [answer["text"] async for answer in EchoStub(way).Watch(struct())]):
                pass
    process.send_signal(signal.SIGTERM)
    after = await lines_until(process, "stopped")
    assert await asyncio.wait_for(process.wait(), PATIENCE_S) == 0
    assert texts == ["restorePoints/p1 is gone"]
    lines = [line for line in before + after if line["service"] == "notes"]
    assert "hunter2" not in json.dumps(lines)
    traces = {line["trace_id"] for line in lines if line["event"] == "rpc" and line["method"].endswith("Ask")}
    assert len(traces) == 1


def filled(writing: int) -> int:
    """How many bytes the pipe took."""
    count = 0
    os.set_blocking(writing, False)
    with suppress(BlockingIOError):
        while True:
            count += os.write(writing, b"." * 1024)
    os.set_blocking(writing, True)
    return count


def read(reading: int, count: int = 1 << 20) -> bytes:
    """So many bytes, or all until the other end is closed."""
    found = b""
    while piece := os.read(reading, count - len(found)):
        found += piece
    return found


async def test_a_service_whose_log_nobody_reads_serves_and_tells_later_how_much_is_missing(
    tmp_path: Path, nats_server: NatsServer, port: int
) -> None:
    reading, writing = os.pipe()
    before = filled(writing)
    process = await started(environment(tmp_path, nats_server, nats_server.tls("notes"), port), writing)
    os.close(writing)
    async with channel(f"127.0.0.1:{port}", nats_server.tls("scheduler")) as way:
        await asyncio.wait_for(way.channel_ready(), PATIENCE_S)
        for _ in range(3):
            await EchoStub(way).Ask(struct(a=1), timeout=PATIENCE_S)
        read(reading, before)
        await EchoStub(way).Ask(struct(a=1), timeout=PATIENCE_S)
    process.send_signal(signal.SIGTERM)
    told = [json.loads(line) for line in (await asyncio.to_thread(read, reading)).splitlines()]
    os.close(reading)
    assert await asyncio.wait_for(process.wait(), PATIENCE_S) == 0
    assert ("log lines were left out: nobody took them", "notes") == (told[0]["event"], told[0]["service"])
    assert told[0]["lines"] > 3
    assert "stopped" in {line["event"] for line in told[1:]}


async def test_a_service_told_to_stop_while_it_waits_for_the_bus_stops(
    tmp_path: Path, nats_server: NatsServer, port: int
) -> None:
    nats_server.stop()
    process = await started(environment(tmp_path, nats_server, nats_server.tls("notes"), port))
    await lines_until(process, "bus trouble")
    process.send_signal(signal.SIGTERM)
    await lines_until(process, "stopped")
    assert await asyncio.wait_for(process.wait(), PATIENCE_S) == 0


async def test_a_bad_configuration_ends_with_its_own_exit_code_and_names_every_variable(
    tmp_path: Path,
) -> None:
    process = await started({"PATH": os.environ["PATH"], "XENKEEP_LISTEN": "nowhere"})
    (*_, last) = await lines_until(process, "ended")
    assert await process.wait() == 2
    for variable in ("XENKEEP_LISTEN", "XENKEEP_PASSWORD", "XENKEEP_DATA_DIR", "XENKEEP_TLS_KEY"):
        assert variable in last["error"]


def test_usage_names_every_variable() -> None:
    text = usage("notes", Notes)
    assert "XENKEEP_PASSWORD (required)" in text
    assert "XENKEEP_OTLP_ENDPOINT (optional)" in text


@pytest.fixture
def port() -> int:
    return free_port()
