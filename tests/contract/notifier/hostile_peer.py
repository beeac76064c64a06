"""A server that does what servers do on a bad day."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def hangs(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Reads everything and never answers or closes."""
    while await reader.read(65536):
        pass
    await asyncio.Event().wait()


async def resets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Resets the connection at the first byte, or soon when the client waits for a greeting."""
    reading = asyncio.ensure_future(reader.read(1))
    await asyncio.wait({reading}, timeout=0.2)
    reading.cancel()
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def talks_rubbish(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers with bytes of no protocol, for as long as the client listens."""
    try:
        while True:
            writer.write(b"\xff\xfe\x00rubbish\r\n" * 100)
            await writer.drain()
    except ConnectionError:
        return


@asynccontextmanager
async def hostile_peer(behaviour: Behaviour) -> AsyncIterator[int]:
    """The port of a server on 127.0.0.1 that behaves so."""
    conversations: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        conversations.add(task)
        try:
            await behaviour(reader, writer)
        except asyncio.CancelledError:
            return
        finally:
            conversations.discard(task)
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in list(conversations):
            task.cancel()
        await asyncio.gather(*conversations, return_exceptions=True)
        await server.wait_closed()
