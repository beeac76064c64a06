"""CONNECT /console, and GET /console by WebSocket (xapi: ocaml/xapi/console.ml,
ocaml/libs/http-lib/ws_helpers.ml): the screen of a VM, or a control domain's line for text.

Screens are grey, of a shade of its VM's own. A host shows the VMs that run on it and sends nobody on: clients
find the host in the console's location.
"""

import asyncio
import hashlib
import html
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from services.simulator.database.database import Change
from services.simulator.database.row import Row
from services.simulator.failure import internal_error
from services.simulator.http.exchange import Exchange
from services.simulator.pool.host import Host
from services.simulator.pool.pool import Pool
from services.simulator.transfers.access import Transfer, admitted, refusal_of
from services.simulator.wire import rfb
from services.simulator.wire.websocket import WebSocket, accept

_LABEL = "Connection to VM console"
_OPEN = [("Connection", "keep-alive"), ("Cache-Control", "no-cache, no-store")]


class PlainPipe:
    """The connection as it is."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def read(self, count: int) -> bytes:
        return await self._reader.readexactly(count)

    async def write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()


class Consoles:
    """A host's two ways to its consoles."""

    def __init__(self, pool: Pool, host: Host) -> None:
        self._pool = pool
        self._host = host
        self._viewers: defaultdict[str, list[str]] = defaultdict(list)

    async def connect(self, exchange: Exchange) -> None:
        name = "connect_console"
        async with admitted(self._pool, self._host, exchange, name, _LABEL) as transfer:
            console = self._find(transfer, f"{name}/host_console")
            if self._limited and (viewers := self._viewers[console["VM"]]):
                await exchange.refuse(503, "Connection Limit Exceeded", _taken(viewers))
                return
            await exchange.begin(_OPEN)
            pipe = PlainPipe(exchange.reader, exchange.writer)
            with self._seen_by(transfer.session, console):
                await self._show(console, exchange, pipe)

    async def upgrade(self, exchange: Exchange) -> None:
        name = "connect_console_ws"
        async with admitted(self._pool, self._host, exchange, name, _LABEL) as transfer:
            console = self._find(transfer, f"{name}/host_console_ws")
            if self._limited:
                await exchange.bare_status(503)
                return
            key = exchange.head.header("sec-websocket-key")
            if key is None:
                await exchange.bare_status(501)
                return
            await exchange.switch_protocols(
                [
                    ("Upgrade", "websocket"),
                    ("Connection", "Upgrade"),
                    ("Sec-WebSocket-Accept", accept(key)),
                    ("Sec-WebSocket-Protocol", "binary"),
                ]
            )
            await self._show(console, exchange, WebSocket(exchange.reader, exchange.writer))

    @property
    def _limited(self) -> bool:
        """One viewer of a VM at a time; then browsers are none."""
        return bool(self._pool.db.only("pool").get("limit_console_sessions"))

    @contextmanager
    def _seen_by(self, session: str, console: Row) -> Iterator[None]:
        user, viewers = self._pool.sessions.user(session), self._viewers[console["VM"]]
        viewers.append(user)
        try:
            yield
        finally:
            viewers.remove(user)

    def _find(self, transfer: Transfer, for_control_domains: str) -> Row:
        """Raises ``INTERNAL_ERROR`` unless it is a console of a VM that runs on this host."""
        console = self._named(transfer.query)
        vm = self._pool.db.find("VM", console["VM"]) if console is not None else None
        if console is None or vm is None:
            raise internal_error("Console.Failure")
        refusal = refusal_of(self._pool, transfer.session, for_control_domains)
        if vm["is_control_domain"] and refusal is not None:
            raise refusal
        if vm["power_state"] != "Running" or vm["resident_on"] != self._host.ref:
            raise internal_error("Console.Failure")
        return console

    def _named(self, query: dict[str, str]) -> Row | None:
        """By the uuid or reference of itself, or of a VM, whose screen it is then."""
        db, uuid, ref = self._pool.db, query.get("uuid"), query.get("ref", "")
        vm = db.tables["VM"].by_uuid(uuid) if uuid is not None else db.find("VM", ref)
        if vm is not None:
            consoles = [db.row("console", console) for console in vm["consoles"]]
            return next((console for console in consoles if console["protocol"] == "rfb"), None)
        return db.tables["console"].by_uuid(uuid) if uuid is not None else db.find("console", ref)

    async def _show(self, console: Row, exchange: Exchange, pipe: rfb.Pipe) -> None:
        """Until the viewer leaves, or the VM."""
        vm = self._pool.db.row("VM", console["VM"])

        def leave(change: Change) -> None:
            here = vm["resident_on"] == self._host.ref and vm["power_state"] in ("Running", "Paused")
            if change.row is vm and (change.operation == "del" or not here):
                exchange.writer.close()

        stop_listening = self._pool.db.listen(leave)
        try:
            with suppress(EOFError, ConnectionError):
                if console["protocol"] == "rfb":
                    shade = hashlib.sha256(vm["uuid"].encode()).digest()[0]
                    await rfb.show(pipe, vm["name_label"], shade)
                else:
                    await _prompt(pipe, vm["name_label"])
        finally:
            stop_listening()


def _taken(viewers: Sequence[str]) -> bytes:
    names = html.escape(", ".join(viewers))
    who = f"User '{names}' is" if len(viewers) == 1 else f"Users '{names}' are"
    return (
        f"<html><body><h1>Connection Limit Exceeded</h1><p>{who} currently connected to this console. No new "
        "connections are allowed. Please check the limit_console_sessions config and try again later.</p>"
        "</body></html>"
    ).encode()


async def _prompt(pipe: rfb.Pipe, name: str) -> None:
    """A line on which nobody gets any further."""
    await pipe.write(f"\r\n{name} login: ".encode())
    while True:
        await pipe.read(1)
