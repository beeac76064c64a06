"""Listening, and the life of a connection."""

import asyncio
import contextlib
import logging
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable

from services.simulator.http.exchange import Exchange
from services.simulator.http.request import BadRequest, RequestHead, read_head

_log = logging.getLogger(__name__)
Handler = Callable[[Exchange], Awaitable[None]]
READ_AHEAD = 512 * 1024
"""Bytes that a connection may hold before its client is slowed down."""


def reset(writer: asyncio.StreamWriter) -> None:
    """End a connection as a dead host does: without a good-bye, so that the peer notices at once."""
    raw: socket.socket | None = writer.get_extra_info("socket")
    if raw is not None and raw.fileno() >= 0:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


class PatientReader(asyncio.StreamReader):
    """Gives out all that came before a connection broke; then it has simply ended.

    A client that has sent everything may reset the connection at once, and xapi still reads what it sent.
    """

    def set_exception(self, exc: Exception) -> None:
        self.feed_eof()


class HttpServer:
    """One listening socket of a host, plain or TLS. Whoever finds no place among ``places`` is connected, and
    waits for an answer until another connection ends (xapi: ocaml/libs/http-lib/server_io.ml).
    """

    def __init__(self, handler: Handler, context: ssl.SSLContext | None, places: asyncio.Semaphore) -> None:
        self._handler = handler
        self._places = places
        self.ssl_context = context
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.StreamWriter, asyncio.Task[None] | None] = {}
        self._busy: set[asyncio.StreamWriter] = set()

    @property
    def connection_count(self) -> int:
        return len(self._connections)

    @property
    def listens(self) -> bool:
        return self._server is not None

    @property
    def port(self) -> int:
        """The port it listens on. Raises ``RuntimeError`` before ``start``."""
        if self._server is None:
            raise RuntimeError("the server does not listen; start it first")
        return int(self._server.sockets[0].getsockname()[1])

    async def start(self, address: str, port: int) -> None:
        """``port`` 0 takes any free one."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: asyncio.StreamReaderProtocol(PatientReader(READ_AHEAD, loop), self._serve, loop),
            address,
            port,
            ssl=self.ssl_context,
            reuse_address=True,
        )

    def rest(self) -> None:
        """Take no newcomers until it is started again; connections that are open go on."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def cut(self, *, busy: bool = False) -> int:
        """Reset every connection at once, or only those that wait for an answer; their number."""
        cut = [each for each in self._connections.items() if not busy or each[0] in self._busy]
        for writer, task in cut:
            reset(writer)
            if task is not None and task is not asyncio.current_task():
                task.cancel()
        return len(cut)

    async def kill(self) -> None:
        """Stop listening and reset every connection."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
        tasks = [task for task in self._connections.values() if task not in (None, asyncio.current_task())]
        self.cut()
        await asyncio.gather(*tasks, return_exceptions=True)
        if server is not None:
            await server.wait_closed()

    async def restart(self) -> None:
        """Reset every connection and listen again where it listened, if it did."""
        where = None if self._server is None else self._server.sockets[0].getsockname()[:2]
        await self.kill()
        if where is not None:
            await self.start(*where)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections[writer] = asyncio.current_task()
        try:
            async with self._places:
                while await self._serve_one(reader, writer):
                    pass
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError, asyncio.CancelledError):
            writer.transport.abort()
        finally:
            del self._connections[writer]
            writer.close()
            with contextlib.suppress(ConnectionError, ssl.SSLError, TimeoutError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection may go on."""
        exchange = Exchange(RequestHead("", "/", "/", {}, "HTTP/1.1", ()), reader, writer)
        try:
            head = await read_head(reader)
            if head is None:
                return False
            exchange = Exchange(head, reader, writer)
            self._busy.add(writer)
            await self._handler(exchange)
        except BadRequest as error:
            await _refuse(exchange, error)
            return False
        except (OSError, EOFError):
            raise
        except Exception as error:  # noqa: BLE001 - a defect of ours must be answered, as in xapi
            _log.exception("defect in the answer to %s %s", exchange.head.method, exchange.head.path)
            await _refuse(exchange, BadRequest(500, repr(error)))
            return False
        finally:
            self._busy.discard(writer)
        return exchange.keep_open


async def _refuse(exchange: Exchange, error: BadRequest) -> None:
    """As an answer of its own, or in the middle of one that was begun."""
    if exchange.final:
        return
    if exchange.answered:
        await exchange.late_error(error.status, error.info)
    else:
        await exchange.reply_error(error.status, error.info, error.headers)
