"""A byte stream that can turn to TLS, be drained wholly, and be reset."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import Callable
from typing import cast


class Stream(asyncio.Protocol):
    """One accepted connection. `met` is called with it as soon as it is there."""

    def __init__(self, met: Callable[[Stream], None]) -> None:
        self._met = met
        self._reader = asyncio.StreamReader()
        self._writable = asyncio.Event()
        self._lost = asyncio.Event()
        self._raw: asyncio.Transport
        self._transport: asyncio.Transport

    async def receive(self, count: int) -> bytes:
        """Exactly so many bytes. IncompleteReadError or ConnectionError at the end of the connection."""
        return await self._reader.readexactly(count)

    async def discard(self, count: int) -> None:
        """Take so many bytes, and forget them."""
        while count:
            count -= len(await self._reader.readexactly(min(count, 64 * 1024)))

    async def send(self, data: bytes | memoryview) -> None:
        """Send; returns when nothing is buffered in this process, so the buffer can be used again."""
        if self._lost.is_set() or self._transport.is_closing():
            raise ConnectionResetError("the connection is closed")
        self._transport.write(data)
        await self._writable.wait()
        if self._lost.is_set():
            raise ConnectionResetError("the connection was lost")

    async def start_tls(self, context: ssl.SSLContext) -> None:
        """Be the server of a TLS handshake. OSError (ssl.SSLError is one) when it fails."""
        loop = asyncio.get_running_loop()
        try:
            tls = await loop.start_tls(self._raw, self, context, server_side=True)
            if tls is None:  # typeshed knows; happens when the client leaves during the handshake
                raise ConnectionResetError("the client left during the TLS handshake")
        except BaseException:
            self._lost.set()  # the TLS layer keeps the loss of the connection to itself
            raise
        self._transport = tls
        # The TLS transport pauses at `high`, the plain one above it: 0 would stop the former for good.
        tls.set_write_buffer_limits(high=1)

    async def close(self) -> None:
        """Send what is buffered, say goodbye, and wait until the connection is gone."""
        self._transport.close()
        await self._lost.wait()

    def abort(self) -> None:
        """Drop the connection; what was sent may still arrive."""
        self._raw.abort()

    def reset(self) -> None:
        """Drop the connection as a dead host does: the client gets ECONNRESET."""
        raw: socket.socket = self._raw.get_extra_info("socket")
        if raw.fileno() >= 0:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._raw.abort()

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is there."""
        self._raw = self._transport = cast(asyncio.Transport, transport)
        self._raw.set_write_buffer_limits(high=0)
        self._reader.set_transport(self._raw)
        self._writable.set()
        self._met(self)

    def data_received(self, data: bytes) -> None:
        """Bytes from the client."""
        self._reader.feed_data(data)

    def eof_received(self) -> None:
        """The client has nothing more to say; the transport closes."""
        self._reader.feed_eof()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        if exc is None:
            self._reader.feed_eof()
        else:
            self._reader.set_exception(exc)
        self._lost.set()
        self._writable.set()

    def pause_writing(self) -> None:
        """Something is buffered."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Nothing is buffered."""
        self._writable.set()
