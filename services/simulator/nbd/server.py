"""The NBD server of one simulated host."""

from __future__ import annotations

import asyncio
import ssl

from services.simulator.nbd.connection import Connection
from services.simulator.nbd.ports import Door, Mode
from services.simulator.nbd.stream import Stream

MAX_CONNECTIONS = 16  # xen-api: ocaml/nbd/src/consts.ml, connection_limit


class NbdServer:
    """Accepts connections until it is closed or killed; may be started again after either.

    `ssl_context` may be replaced at any time and counts for connections made afterwards.
    """

    def __init__(self, door: Door, ssl_context: ssl.SSLContext) -> None:
        self.ssl_context = ssl_context
        self._door = door
        self._listener: asyncio.Server | None = None
        self._connections: dict[asyncio.Task[None], Stream] = {}
        self._cut_after: int | None = None

    @property
    def port(self) -> int:
        """The port listened on, when started."""
        if self._listener is None:
            raise RuntimeError("the NBD server is not started")
        port: int = self._listener.sockets[0].getsockname()[1]
        return port

    @property
    def connections(self) -> int:
        """How many of the 16 connections are taken."""
        return len(self._connections)

    async def start(self, address: str, port: int) -> None:
        """Listen; port 0 chooses one. OSError when the address is taken."""
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(
            lambda: Stream(self._accept), address, port, reuse_address=True
        )

    def kill(self) -> None:
        """Die as a host does: nobody is listening and every connection is reset, now.

        `Door.close_export` is still called for what was open, after this returns.
        """
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        self._reset()

    async def cut(self) -> None:
        """Reset every connection, and wait until their exports are closed; it listens on."""
        self._reset()
        if self._connections:
            await asyncio.wait(set(self._connections))

    async def close(self) -> None:
        """Kill, and wait until every export is closed."""
        self.kill()
        if self._connections:
            await asyncio.wait(self._connections)

    def cut_after(self, byte_count: int) -> None:
        """Cut a connection when the server has sent that many more bytes, counted over all of them."""
        self._cut_after = byte_count

    def _reset(self) -> None:
        for stream in self._connections.values():
            stream.reset()

    def _accept(self, stream: Stream) -> None:
        mode = self._door.mode()
        if mode is Mode.CLOSED or len(self._connections) >= MAX_CONNECTIONS:
            stream.abort()
            return
        connection = Connection(stream, self._door, self._allowance)
        task = asyncio.create_task(connection.serve(mode, self.ssl_context))
        self._connections[task] = stream
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        del self._connections[task]
        if not task.cancelled() and (failure := task.exception()) is not None:
            loop = task.get_loop()
            loop.call_exception_handler({"message": "an NBD connection failed", "exception": failure})

    def _allowance(self, wanted: int) -> int:
        if self._cut_after is None:
            return wanted
        if self._cut_after >= wanted:
            self._cut_after -= wanted
            return wanted
        allowed, self._cut_after = self._cut_after, None
        return allowed
