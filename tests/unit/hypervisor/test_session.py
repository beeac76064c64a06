"""What is asked again when an answer is lost, and for how long a pool that is away is tried."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from services.chassis.clock import SystemClock
from services.chassis.config import Secret
from services.chassis.errors import Unavailable
from services.hypervisor.adapters.xapi_session import XapiSession
from services.hypervisor.domain.pool import Member
from services.simulator.pool.certificates import make_certificate

PATIENCE_S = 1.0


class Host:
    """Answers every call, but hangs up on those in ``loses`` once they have arrived, so many times each."""

    def __init__(self, folder: Path) -> None:
        self.certificate = make_certificate(folder / "host.pem", "host", "127.0.0.1", SystemClock().now())
        self.loses: dict[str, int] = {}
        self.asked: list[str] = []
        self.let_go = asyncio.Event()
        self.let_go.set()
        self.port = 0
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        context = self.certificate.server_context()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=context)
        self.port = self._server.sockets[0].getsockname()[1]

    async def die(self) -> None:
        """It takes no connections; those that are there are lost with what they wait for."""
        assert self._server is not None
        self._server.close()
        self.loses["event.from"] = 1
        self.let_go.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while method := await self._request(reader):
            self.asked.append(method)
            await self.let_go.wait()
            if self.loses.get(method, 0):
                self.loses[method] -= 1
                break
            body = json.dumps({"jsonrpc": "2.0", "id": 1, "result": f"answer to {method}"}).encode()
            head = f"HTTP/1.1 200 OK\r\ncontent-length: {len(body)}\r\n\r\n".encode()
            writer.write(head + body)
        writer.close()

    async def _request(self, reader: asyncio.StreamReader) -> str:
        """The method; nothing at the end of a connection."""
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        except (asyncio.IncompleteReadError, ConnectionError):
            return ""
        length = int(head.partition("content-length: ")[2].partition("\r")[0])
        request: dict[str, Any] = json.loads(await reader.readexactly(length))
        return str(request["method"])


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Host]:
    host = Host(tmp_path)
    await host.start()
    yield host
    await host.die()


@pytest.fixture
async def session(host: Host) -> AsyncIterator[XapiSession]:
    members = (Member("host", "127.0.0.1", host.certificate.pem),)
    session = XapiSession(
        "Lab", members, "host", host.port, "root", Secret("a password"), SystemClock(), PATIENCE_S
    )
    yield session
    await session.close()


async def test_what_may_be_repeated_is_asked_again_when_its_answer_is_lost(
    host: Host, session: XapiSession
) -> None:
    host.loses["VM.get_all"] = 2
    assert "answer to VM.get_all" == await session.call("VM.get_all")
    assert 3 == host.asked.count("VM.get_all")


async def test_what_must_not_run_twice_is_asked_once_and_its_outcome_is_unknown(
    host: Host, session: XapiSession
) -> None:
    host.loses["VM.create"] = 1
    with pytest.raises(Unavailable) as lost:
        await session.call_once("VM.create", {})
    assert "POOL_OUTCOME_UNKNOWN" == lost.value.reason
    assert 1 == host.asked.count("VM.create")


async def test_an_outage_is_bridged_from_its_begin_however_long_was_waited_before(
    host: Host, session: XapiSession
) -> None:
    await session.call("VM.get_all")
    host.let_go.clear()
    waiting = asyncio.create_task(session.call("event.from"))
    await asyncio.sleep(PATIENCE_S)  # longer than the patience, in which nothing is wrong
    began = time.monotonic()
    await host.die()
    with pytest.raises(Unavailable) as away:
        await waiting
    assert "POOL_UNREACHABLE" == away.value.reason
    assert time.monotonic() - began >= PATIENCE_S
