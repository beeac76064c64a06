"""The server's end of a WebSocket (RFC 6455), with binary messages that are one stream of bytes."""

import asyncio
import base64
import hashlib
import struct

_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0, 1, 2, 8, 9, 10
_FRAME_LIMIT = 1024 * 1024


def accept(key: str) -> str:
    """The answer to a client's ``Sec-WebSocket-Key``."""
    return base64.b64encode(hashlib.sha1(f"{key}{_GUID}".encode()).digest()).decode()  # noqa: S324 - RFC 6455


class WebSocket:
    """After the handshake."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._arrived = bytearray()

    async def read(self, count: int) -> bytes:
        """Exactly so many bytes. Raises ``EOFError`` when the client closes or breaks the protocol."""
        while len(self._arrived) < count:
            await self._take_frame()
        data = bytes(self._arrived[:count])
        del self._arrived[:count]
        return data

    async def write(self, data: bytes) -> None:
        await self._send(_BINARY, data)

    async def _send(self, kind: int, data: bytes) -> None:
        if len(data) < 126:
            size = struct.pack(">B", len(data))
        elif len(data) < 1 << 16:
            size = struct.pack(">BH", 126, len(data))
        else:
            size = struct.pack(">BQ", 127, len(data))
        self._writer.write(bytes([0x80 | kind]) + size + data)
        await self._writer.drain()

    async def _take_frame(self) -> None:
        first, second = await self._reader.readexactly(2)
        kind, length = first & 0x0F, second & 0x7F
        if length == 126:
            (length,) = struct.unpack(">H", await self._reader.readexactly(2))
        elif length == 127:
            (length,) = struct.unpack(">Q", await self._reader.readexactly(8))
        if not second & 0x80 or length > _FRAME_LIMIT:
            raise EOFError("the client does not keep to RFC 6455")
        mask = await self._reader.readexactly(4)
        data = _unmask(await self._reader.readexactly(length), mask)
        if kind in (_CONTINUATION, _TEXT, _BINARY):
            self._arrived += data
        elif kind == _PING:
            await self._send(_PONG, data)
        elif kind == _CLOSE:
            await self._send(_CLOSE, data[:2])
            raise EOFError("the client closed the WebSocket")


def _unmask(data: bytes, mask: bytes) -> bytes:
    whole = (mask * (len(data) // 4 + 1))[: len(data)]
    return (int.from_bytes(data) ^ int.from_bytes(whole)).to_bytes(len(data))
