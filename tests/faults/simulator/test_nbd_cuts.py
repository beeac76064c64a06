"""What a host's death and a cut line look like to NBD clients, and what is left afterwards."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme

from services.simulator.nbd.ports import Export, Mode
from services.simulator.nbd.server import NbdServer
from services.simulator.storage.ports import Disk
from services.simulator.storage.sr import Sr

MIB = 1024 * 1024
EXPORT_NAME = b"IHAVEOPT" + (1).to_bytes(4, "big") + (2).to_bytes(4, "big") + b"/x"
STARTTLS = b"IHAVEOPT" + (5).to_bytes(4, "big") + (0).to_bytes(4, "big")


def read(offset: int, length: int) -> bytes:
    return bytes.fromhex("25609513") + bytes(12) + offset.to_bytes(8, "big") + length.to_bytes(4, "big")


class CountingDoor:
    def __init__(self, disk: Disk) -> None:
        self.disk = disk
        self.opened: list[Export] = []
        self.closed: list[Export] = []

    def mode(self) -> Mode:
        return Mode.FORCED_TLS

    async def open_export(self, name: str) -> Export:
        self.opened.append(Export(self.disk, token=len(self.opened)))
        return self.opened[-1]

    async def close_export(self, export: Export) -> None:
        self.closed.append(export)


@pytest.fixture
def sr(tmp_path: Path) -> Sr:
    sr = Sr.create(tmp_path / "sr", 64 * MIB)
    sr.create_disk("disk", 8 * MIB)
    return sr


@pytest.fixture
def door(sr: Sr) -> CountingDoor:
    return CountingDoor(sr.disk("disk"))


@pytest.fixture
async def server(door: CountingDoor) -> AsyncIterator[NbdServer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("localhost").configure_cert(context)
    server = NbdServer(door, context)
    await server.start("127.0.0.1", 0)
    yield server
    await server.close()


Client = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def begin_tls(server: NbdServer) -> Client:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    await reader.readexactly(18)
    writer.write(bytes([0, 0, 0, 1]) + STARTTLS)
    await reader.readexactly(20)
    return reader, writer


async def connect(server: NbdServer) -> Client:
    reader, writer = await begin_tls(server)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    await writer.start_tls(context)
    writer.write(EXPORT_NAME)
    await reader.readexactly(134)
    return reader, writer


async def test_a_killed_host_resets_every_connection_and_closes_every_export(
    server: NbdServer, door: CountingDoor
) -> None:
    clients = [await connect(server) for _ in range(3)]
    for _, writer in clients:
        writer.write(read(0, 8 * MIB))
    await clients[0][0].readexactly(1)
    port = server.port
    server.kill()
    for reader, _ in clients:
        with pytest.raises(ConnectionResetError):
            while await reader.read(MIB):
                pass
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)
    await server.close()
    assert (len(door.closed), server.connections) == (3, 0)
    await server.start("127.0.0.1", port)
    reader, writer = await connect(server)
    writer.write(read(0, 512))
    assert await reader.readexactly(16 + 512) == bytes.fromhex("67446698") + bytes(12 + 512)
    writer.transport.abort()


async def test_a_client_that_leaves_during_the_tls_handshake_leaves_nothing_behind(server: NbdServer) -> None:
    _, writer = await begin_tls(server)
    writer.transport.abort()
    _, writer = await begin_tls(server)
    writer.write(b"this is no client hello")
    writer.write_eof()
    await server.close()
    assert server.connections == 0
    writer.transport.abort()


async def test_a_line_is_cut_after_so_many_bytes_and_the_next_one_is_not(
    server: NbdServer, door: CountingDoor
) -> None:
    reader, writer = await connect(server)
    server.cut_after(16 + 3 * MIB)
    writer.write(read(0, 8 * MIB))
    with pytest.raises((asyncio.IncompleteReadError, OSError)) as raised:
        await reader.readexactly(16 + 8 * MIB)
    if isinstance(raised.value, asyncio.IncompleteReadError):
        assert len(raised.value.partial) <= 16 + 3 * MIB
    reader, writer = await connect(server)
    writer.write(read(0, 8 * MIB))
    assert len(await reader.readexactly(16 + 8 * MIB)) == 16 + 8 * MIB
    writer.transport.abort()
    await server.close()
    assert len(door.closed) == 2


async def test_a_disk_destroyed_under_a_client_ends_the_connection(server: NbdServer, sr: Sr) -> None:
    reader, writer = await connect(server)
    sr.destroy("disk")
    writer.write(read(0, 512))
    assert await reader.read() == b""
    writer.transport.abort()


@pytest.mark.parametrize("length", [8193, 2**32 - 1])
async def test_an_option_too_long_to_be_true_ends_the_connection(server: NbdServer, length: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    await reader.readexactly(18)
    writer.write(bytes([0, 0, 0, 1]) + b"IHAVEOPT" + (3).to_bytes(4, "big") + length.to_bytes(4, "big"))
    assert await reader.read() == b""
    writer.transport.abort()
