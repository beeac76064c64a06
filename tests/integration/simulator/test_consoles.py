"""Screens of VMs and control domains, as viewers reach them."""

import asyncio
import base64
import hashlib
import os
import ssl
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from services.simulator.pool.description import UserDescription, VmDescription
from services.simulator.pool.simulation import Simulation
from services.simulator.wire.rfb import HEIGHT, WIDTH
from tests.integration.simulator.pools import PASSWORD, Sdk, describe, running
from tests.integration.simulator.test_vm_life import only_vm

RAW_4X2 = struct.pack(">BBHHHH", 3, 0, 0, 0, 4, 2)
RGB565 = struct.pack(">B3xBBBBHHHBBB3x", 0, 16, 16, 0, 1, 31, 63, 31, 11, 5, 0)


class Viewer:
    """A connection to a host's port for TLS."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connected(cls, simulation: Simulation, host: int = 1) -> "Viewer":
        context = ssl._create_unverified_context()
        port = simulation.pool.description.https_port
        return cls(*await asyncio.open_connection(f"127.0.0.{10 + host}", port, ssl=context))

    async def ask(self, line: str, *headers: str) -> list[str]:
        """The lines of the answer's head."""
        self.writer.write("\r\n".join([line, *headers, "", ""]).encode())
        return (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")

    async def end(self) -> bytes:
        """What still comes until the host closes."""
        return await self.reader.read()

    async def open_screen(self, version: bytes = b"RFB 003.008\n") -> str:
        """Its name."""
        assert await self.reader.readexactly(12) == b"RFB 003.008\n"
        self.writer.write(version)
        if version == b"RFB 003.003\n":
            assert await self.reader.readexactly(4) == struct.pack(">I", 1)
            self.writer.write(b"\1")
        else:
            assert await self.reader.readexactly(2) == b"\1\1"
            self.writer.write(b"\1\1")
            assert await self.reader.readexactly(4) == bytes(4)
        width, height, _, length = struct.unpack(">HH16sI", await self.reader.readexactly(24))
        assert (width, height) == (WIDTH, HEIGHT)
        return (await self.reader.readexactly(length)).decode()


@pytest.fixture
async def viewer(simulation: Simulation) -> AsyncIterator[Viewer]:
    viewer = await Viewer.connected(simulation)
    yield viewer
    viewer.writer.close()


async def console_of(sdk: Sdk, vm: str) -> dict[str, Any]:
    (console,) = await sdk.call("VM.get_consoles", vm)
    return dict(await sdk.call("console.get_record", console))


async def test_a_vm_has_a_console_where_it_runs_and_while_it_runs(tmp_path: Path) -> None:
    vm_there = VmDescription(name="web", host="host-2")
    async with running(describe(tmp_path / "two", 2, vms=[vm_there])) as simulation:
        sdk = await Sdk(simulation).log_in()
        port = simulation.pool.description.https_port
        vm = await only_vm(sdk)
        first = await console_of(sdk, vm)
        assert (first["protocol"], first["VM"]) == ("rfb", vm)
        assert first["location"] == f"https://127.0.0.12:{port}/console?uuid={first['uuid']}"
        (target,) = await sdk.call("host.get_by_name_label", "host-1")
        await sdk.run("VM.pool_migrate", vm, target, {})
        second = await console_of(sdk, vm)
        assert second["location"] == f"https://127.0.0.11:{port}/console?uuid={second['uuid']}"
        await sdk.run("VM.pause", vm)
        assert await console_of(sdk, vm) == second
        await sdk.run("VM.unpause", vm)
        await sdk.run("VM.suspend", vm)
        assert await sdk.call("VM.get_consoles", vm) == []
        await sdk.run("VM.resume", vm, False, False)
        assert (await console_of(sdk, vm))["uuid"] != second["uuid"]
        await sdk.run("VM.hard_shutdown", vm)
        assert await sdk.call("VM.get_consoles", vm) == []
        sdk.close()


@pytest.mark.parametrize("version", [b"RFB 003.003\n", b"RFB 003.008\n"])
async def test_a_viewer_sees_the_screen_until_the_vm_stops(viewer: Viewer, sdk: Sdk, version: bytes) -> None:
    """As XenCenter asks (xapi: ocaml/xapi/console.ml ``real_proxy``)."""
    vm = await only_vm(sdk)
    place = (await console_of(sdk, vm))["location"].partition("/console")[2]
    head = await viewer.ask(f"CONNECT /console{place}&session_id={sdk.session.handle} HTTP/1.0", "Host: h")
    assert head[:3] == ["HTTP/1.1 200 OK", "Connection: keep-alive", "Cache-Control: no-cache, no-store"]
    assert await viewer.open_screen(version) == "web"
    viewer.writer.write(struct.pack(">BxHi", 2, 1, 0) + RAW_4X2)
    head_of_update = struct.pack(">BxHHHHHi", 0, 1, 0, 0, 4, 2, 0)
    assert await viewer.reader.readexactly(len(head_of_update)) == head_of_update
    pixels = await viewer.reader.readexactly(4 * 2 * 4)
    shade = hashlib.sha256((await sdk.call("VM.get_uuid", vm)).encode()).digest()[0]
    assert pixels == bytes([shade, shade, shade, 0]) * 8
    key, pointer, cut = struct.pack(">BBxxI", 4, 1, 0xFF0D), bytes([5, 0, 0, 1, 0, 1]), b"\6\0\0\0\0\0\0\1x"
    viewer.writer.write(key + pointer + cut + RGB565 + RAW_4X2)
    await viewer.reader.readexactly(len(head_of_update))
    small = (shade * 31 // 255 << 11) | (shade * 63 // 255 << 5) | (shade * 31 // 255)
    assert await viewer.reader.readexactly(16) == struct.pack("<H", small) * 8
    await sdk.run("VM.hard_shutdown", vm)
    assert await viewer.end() == b""


async def test_a_console_is_found_by_vm_or_console_and_reference_or_uuid(
    simulation: Simulation, sdk: Sdk
) -> None:
    vm = await only_vm(sdk)
    (console,) = await sdk.call("VM.get_consoles", vm)
    uuids = [await sdk.call("VM.get_uuid", vm), await sdk.call("console.get_uuid", console)]
    for query in (f"ref={vm}", f"ref={console}", *(f"uuid={uuid}" for uuid in uuids)):
        viewer = await Viewer.connected(simulation)
        head = await viewer.ask(
            f"CONNECT /console?{query} HTTP/1.1", f"Cookie: session_id={sdk.session.handle}"
        )
        assert head[0] == "HTTP/1.1 200 OK"
        viewer.writer.close()


async def test_a_browser_sees_the_screen_by_websocket(viewer: Viewer, sdk: Sdk) -> None:
    vm = await only_vm(sdk)
    key = base64.b64encode(os.urandom(16)).decode()
    target = f"/console?ref={vm}&session_id={sdk.session.handle}"
    asks = ["Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Key: {key}"]
    head = await viewer.ask(f"GET {target} HTTP/1.1", *asks, "Sec-WebSocket-Protocol: binary")
    digest = hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()
    assert head[0] == "HTTP/1.1 101 Switching Protocols"
    assert f"Sec-WebSocket-Accept: {base64.b64encode(digest).decode()}" in head
    assert "Sec-WebSocket-Protocol: binary" in head
    assert await viewer.reader.readexactly(14) == b"\x82\x0cRFB 003.008\n"
    viewer.writer.write(framed(2, b"RFB 003.") + framed(9, b"hello") + framed(0, b"008\n"))
    assert await viewer.reader.readexactly(7) == b"\x8a\x05hello"
    assert await viewer.reader.readexactly(4) == b"\x82\x02\1\1"
    viewer.writer.write(framed(8, struct.pack(">H", 1000)))
    assert await viewer.end() == b"\x88\x02" + struct.pack(">H", 1000)


def framed(kind: int, data: bytes) -> bytes:
    """A short frame as clients send it, masked."""
    mask = b"\x11\x22\x33\x44"
    masked = bytes(byte ^ mask[place % 4] for place, byte in enumerate(data))
    return bytes([0x80 | kind, 0x80 | len(data)]) + mask + masked


async def test_who_does_not_keep_to_the_protocol_is_cut_off(simulation: Simulation, sdk: Sdk) -> None:
    target = f"/console?ref={await only_vm(sdk)}&session_id={sdk.session.handle}"
    for nonsense in (
        b"GET / HTTP/1.",
        RGB565.replace(b"\x10", b"\x0f"),
        b"\x63",
        b"\6\0\0\0\xff\xff\xff\xff",
    ):
        viewer = await Viewer.connected(simulation)
        await viewer.ask(f"CONNECT {target} HTTP/1.1")
        if not nonsense.startswith(b"GET"):
            await viewer.open_screen()
        viewer.writer.write(nonsense)
        await viewer.end()
    viewer = await Viewer.connected(simulation)
    await viewer.ask(f"GET {target} HTTP/1.1", "Upgrade: websocket", "Sec-WebSocket-Key: x")
    viewer.writer.write(b"\x82\x05hello")
    await viewer.end()
    assert (await (await Viewer.connected(simulation)).ask(f"GET {target} HTTP/1.1"))[0].startswith(
        "HTTP/1.1 501"
    )


async def test_a_screen_is_shown_by_its_host_to_those_who_may_see_it(tmp_path: Path) -> None:
    users = [
        UserDescription(password=PASSWORD),
        UserDescription(name="operator", password=PASSWORD, role="vm-operator"),
        UserDescription(name="reader", password=PASSWORD, role="read-only"),
    ]
    described = describe(tmp_path / "two", 2, users=users, vms=[VmDescription(name="web", host="host-2")])
    async with running(described) as simulation:
        sdks = [await Sdk(simulation).log_in(user.name) for user in users]
        vm = await only_vm(sdks[0])
        (dom0,) = await sdks[0].call("VM.get_by_name_label", "Control domain on host: host-2")

        async def status(ref: str, sdk: Sdk | None, host: int = 2) -> str:
            viewer = await Viewer.connected(simulation, host)
            session = f"&session_id={sdk.session.handle}" if sdk is not None else ""
            head = await viewer.ask(f"CONNECT /console?ref={ref}{session} HTTP/1.1")
            viewer.writer.close()
            return head[0].split()[1]

        root, operator, reader = sdks
        assert [await status(vm, who) for who in (root, operator, reader, None)] == [
            "200",
            "200",
            "403",
            "401",
        ]
        assert [await status(dom0, who) for who in (root, operator)] == ["200", "500"]
        assert await status(vm, root, host=1) == "500"
        (text,) = await root.call(
            "console.get_all_records_where", f'field "VM"="{dom0}" and field "protocol"="vt100"'
        )
        viewer = await Viewer.connected(simulation, 2)
        await viewer.ask(f"CONNECT /console?ref={text}&session_id={root.session.handle} HTTP/1.1")
        assert await viewer.reader.readuntil(b"login: ") == b"\r\nControl domain on host: host-2 login: "
        viewer.writer.close()
        for sdk in sdks:
            sdk.close()


async def test_one_viewer_at_a_time_where_the_pool_says_so(tmp_path: Path) -> None:
    """xapi: ocaml/xapi/console.ml ``respond_console_limit_exceeded``, ``go_if_no_limit``."""
    async with running(describe(tmp_path / "pool", version="26.17")) as simulation:
        sdk = await Sdk(simulation).log_in()
        (pool,) = await sdk.call("pool.get_all")
        target = f"/console?ref={await only_vm(sdk)}&session_id={sdk.session.handle}"
        first, second, third = [await Viewer.connected(simulation) for _ in range(3)]
        assert (await first.ask(f"CONNECT {target} HTTP/1.1"))[0] == "HTTP/1.1 200 OK"
        await first.open_screen()
        await sdk.call("pool.set_limit_console_sessions", pool, True)
        assert (await second.ask(f"CONNECT {target} HTTP/1.1"))[0] == "HTTP/1.1 503 Connection Limit Exceeded"
        assert b"User 'root' is currently connected" in await second.end()
        head = await third.ask(f"GET {target} HTTP/1.1", "Upgrade: websocket", "Sec-WebSocket-Key: x")
        assert head[0] == "HTTP/1.1 503 Service Unavailable"
        await sdk.call("pool.set_limit_console_sessions", pool, False)
        again = await Viewer.connected(simulation)
        assert (await again.ask(f"CONNECT {target} HTTP/1.1"))[0] == "HTTP/1.1 200 OK"
        for viewer in (first, again):
            viewer.writer.close()
        sdk.close()
