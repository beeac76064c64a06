"""The NBD server answers as a real xapi-nbd did: every recorded connection is played again."""

from __future__ import annotations

import asyncio
import json
import random
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from services.simulator.nbd.ports import Export, ExportRefused, Mode
from services.simulator.nbd.server import NbdServer
from services.simulator.storage.ports import Disk
from services.simulator.storage.sr import Sr

GOLDEN = Path(__file__).parent / "golden" / "nbd"
MIB = 1024 * 1024
QUIET = 0.05  # seconds without a byte that count as "the connection stays open"

Step = dict[str, Any]
FILES = {path.stem: json.loads(path.read_text()) for path in sorted(GOLDEN.glob("*.json"))}
CONNECTIONS = [
    pytest.param(connection["steps"], connection["note"], id=f"{name}: {connection['note']}")
    for name, connections in FILES.items()
    if name != "seventeenth_connection"
    for connection in connections
]


def opened_names() -> set[str]:
    """Export names that the real server accepted."""
    return {
        bytes.fromhex(asked["hex"])[16:].decode()
        for connections in FILES.values()
        for connection in connections
        for asked, answer in zip(connection["steps"], connection["steps"][1:], strict=False)
        if answer["note"].startswith("export size") and answer["length"]
    }


class RecordedDoor:
    """Opens what the real pool opened."""

    def __init__(self, disk: Disk) -> None:
        self.disk = disk
        self.names = opened_names()
        self.chosen_mode = Mode.FORCED_TLS
        self.open = 0

    def mode(self) -> Mode:
        return self.chosen_mode

    async def open_export(self, name: str) -> Export:
        if name not in self.names:
            raise ExportRefused(name)
        self.open += 1
        return Export(self.disk, token=name)

    async def close_export(self, export: Export) -> None:
        self.open -= 1


@pytest.fixture
def door(tmp_path: Path) -> RecordedDoor:
    sr = Sr.create(tmp_path / "sr", 64 * MIB)
    sr.create_disk("disk", 4 * MIB)
    sr.disk("disk").write(0, random.Random(4).randbytes(4 * MIB))
    return RecordedDoor(sr.disk("disk"))


@pytest.fixture(scope="module")
def certificate() -> trustme.LeafCert:
    return trustme.CA().issue_cert("localhost")


@pytest.fixture
async def server(door: RecordedDoor, certificate: trustme.LeafCert) -> AsyncIterator[NbdServer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    started = NbdServer(door, context)
    await started.start("127.0.0.1", 0)
    yield started
    await started.close()
    assert door.open == 0


class Player:
    """Plays the client of a recording and compares what the server says."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, disk: Disk) -> None:
        self.reader, self.writer, self.disk = reader, writer, disk
        self.asked: list[tuple[int, int]] = []  # offset and length of the reads sent
        self.ended = False

    async def play(self, steps: list[Step]) -> None:
        for step in steps:
            if step["who"] == "both":
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
                await self.writer.start_tls(context)
                assert self.writer.get_extra_info("ssl_object").version() == step["version"]
            elif step["note"] == "socket closed":
                self.writer.transport.abort()
            elif step["who"] == "client" and "hex" in step:
                await self.send(bytes.fromhex(step["hex"]))
            elif step["who"] == "server":
                await self.expect(step)

    async def send(self, data: bytes) -> None:
        for begin in range(0, len(data), 28) if data.startswith(bytes.fromhex("25609513")) else ():
            request = data[begin : begin + 28]
            self.asked.append((int.from_bytes(request[16:24], "big"), int.from_bytes(request[24:28], "big")))
        if not self.ended:
            self.writer.write(data)
            await self.writer.drain()

    async def expect(self, step: Step) -> None:
        if not self.ended:
            got = await self.reader.readexactly(step["length"])
            if step["note"] == "data":
                offset, _ = self.asked.pop(0)
                expected = bytearray(len(got))
                if offset + len(got) <= self.disk.virtual_size:
                    self.disk.read_into(offset, expected)
                assert got == expected, step["note"]
            elif step["length"]:
                assert got.hex() == step["hex"], step["note"]
        if "stays open" in step["note"] or step["note"].startswith("waiting"):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(self.reader.read(1), QUIET)
        elif "ConnectionReset" in step.get("event", ""):
            with pytest.raises(ConnectionResetError):
                await self.reader.read(1)
            self.ended = True
        elif "event" in step and not self.ended:
            assert await self.reader.read(1) == b"", step["note"]
            self.ended = True


@pytest.mark.parametrize(("steps", "note"), CONNECTIONS)
async def test_a_recorded_connection_goes_the_same_way(
    server: NbdServer, door: RecordedDoor, steps: list[Step], note: str
) -> None:
    if note.startswith("no network"):
        door.chosen_mode = Mode.CLOSED
    elif note.startswith("insecure_nbd"):
        door.chosen_mode = Mode.PLAIN
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        await Player(reader, writer, door.disk).play(steps)
    finally:
        writer.transport.abort()


async def test_a_host_serves_sixteen_connections_and_closes_the_seventeenth(
    server: NbdServer, door: RecordedDoor
) -> None:
    recordings = {int(c["note"].split()[1]): c["steps"] for c in FILES["seventeenth_connection"]}
    writers = []
    for number in range(1, 19):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writers.append(writer)
        await Player(reader, writer, door.disk).play(recordings.get(number, recordings[1]))
    assert (door.open, server.connections) == (16, 16)
    for writer in writers:
        writer.transport.abort()
