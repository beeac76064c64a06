"""A way between a mover and a server that a test can hold, open and cut. It passes bytes on as they are."""

import asyncio
from typing import Self

PIECE = 256 << 10


class Gate:
    """Runs inside an ``async with``; ``port`` is where to connect instead.

    Open at first. ``hold_after`` lets so many bytes of the server's pass, of all connections together, and
    then none: ``held`` is set. ``cut`` drops the connections there are, ``close`` takes no more either.
    """

    def __init__(self, port: int) -> None:
        self._to = port
        self._passed = 0
        self._limit: int | None = None
        self._open = asyncio.Event()
        self._open.set()
        self.held = asyncio.Event()
        self._visits: set[asyncio.Task[None]] = set()
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._visit, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def hold_after(self, size_bytes: int) -> None:
        self._limit = self._passed + size_bytes

    def open(self) -> None:
        self._limit = None
        self._open.set()

    async def cut(self) -> None:
        visits = list(self._visits)
        for visit in visits:
            visit.cancel()
        await asyncio.gather(*visits, return_exceptions=True)

    async def close(self) -> None:
        self._server.close()
        await self.cut()

    async def _visit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._visits.add(task)
        try:
            back_reader, back_writer = await asyncio.open_connection("127.0.0.1", self._to)
            try:
                there = asyncio.ensure_future(_pass_on(reader, back_writer))
                back = asyncio.ensure_future(self._pass_back(back_reader, writer))
                try:
                    await asyncio.wait({there, back}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    there.cancel()
                    back.cancel()
                    await asyncio.gather(there, back, return_exceptions=True)
            finally:
                back_writer.transport.abort()
        except (OSError, asyncio.CancelledError):
            return
        finally:
            self._visits.discard(task)
            writer.transport.abort()

    async def _pass_back(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(PIECE):
            if self._limit is not None and self._passed + len(piece) > self._limit:
                self._open.clear()
                self.held.set()
            await self._open.wait()
            self._passed += len(piece)
            writer.write(piece)
            await writer.drain()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(PIECE):
        writer.write(piece)
        await writer.drain()
