"""One connection to a host's NBD server, spoken as xapi-nbd does (xen-api: ocaml/nbd; recorded from 23.1).

Fixed newstyle only; nothing but STARTTLS before TLS; EXPORT_NAME only; read-only; requests are answered one
after the other, in order; after any error reply the connection is closed.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable

from services.simulator.nbd import protocol
from services.simulator.nbd.ports import Door, Export, ExportRefused, Mode
from services.simulator.nbd.protocol import Command, Error, Option, OptionReply, ProtocolError
from services.simulator.nbd.stream import Stream
from services.simulator.storage.errors import OutOfRange, StorageError
from services.simulator.storage.ports import SECTOR

PIECE = 2 * 1024 * 1024
SMALL = 64 * 1024  # a read that is not worth a thread
HAS_FLAGS, READ_ONLY = 1, 2

Allowance = Callable[[int], int]  # of so many bytes to send, how many may go before the connection is cut


class Connection:
    """Serves one client until it leaves, errs, or is cut."""

    def __init__(self, stream: Stream, door: Door, allowance: Allowance) -> None:
        self._stream = stream
        self._door = door
        self._allowance = allowance
        self._buffer = memoryview(bytearray(protocol.REPLY_SIZE + PIECE))

    async def serve(self, mode: Mode, context: ssl.SSLContext) -> None:
        """Talk to the client; every way it may end is an ordinary return."""
        try:
            name = await self._negotiate(mode, context)
            if name is not None:
                await self._serve_export(name)
        except (asyncio.IncompleteReadError, OSError):  # the client is gone; ssl.SSLError is an OSError
            self._stream.abort()
        except (ProtocolError, ExportRefused, UnicodeDecodeError, StorageError):
            pass  # xapi-nbd has no words for it either: it hangs up
        await self._stream.close()

    async def _negotiate(self, mode: Mode, context: ssl.SSLContext) -> str | None:
        """The name of the export the client wants; None when it leaves or is sent away."""
        await self._send(protocol.BANNER + protocol.FIXED_NEWSTYLE.to_bytes(2, "big"))
        if not await protocol.read_flags(self._stream) & protocol.FIXED_NEWSTYLE:
            self._stream.reset()
            return None
        if mode is Mode.FORCED_TLS and not await self._start_tls(context):
            return None
        while True:
            option = await protocol.read_option(self._stream)
            if option.number == Option.EXPORT_NAME:
                return option.data.decode()
            await self._send(protocol.option_reply(option.number, _answer(option.number, mode)))
            if option.number == Option.ABORT:
                return None

    async def _start_tls(self, context: ssl.SSLContext) -> bool:
        """Refuse everything until the client starts TLS; False when it gives up."""
        while True:
            option = await protocol.read_option(self._stream)
            if option.number in (Option.ABORT, Option.EXPORT_NAME):
                return False
            if option.number == Option.STARTTLS:
                await self._send(protocol.option_reply(option.number, OptionReply.ACK))
                await self._stream.start_tls(context)
                return True
            await self._send(protocol.option_reply(option.number, OptionReply.ERR_TLS_REQD))

    async def _serve_export(self, name: str) -> None:
        export: Export = await self._door.open_export(name)
        try:
            size = export.disk.virtual_size
            await self._send(protocol.export_reply(size, HAS_FLAGS | READ_ONLY, zeroes=True))
            while await self._serve_request(export):
                pass
        finally:
            await self._door.close_export(export)

    async def _serve_request(self, export: Export) -> bool:
        """Answer the next request; False when the connection ends with it."""
        request = await protocol.read_request(self._stream)
        if request.command == Command.DISC:
            return False
        error = _refusal(request)
        if error is Error.NONE:
            return await self._send_data(export, request)
        if request.command == Command.WRITE:
            await self._stream.discard(request.length)
        await self._send(protocol.reply(request.handle, error))
        return False

    async def _send_data(self, export: Export, request: protocol.Request) -> bool:
        """Send the reply in pieces; its head is gone when a later piece turns out to lie past the end."""
        head = protocol.REPLY_SIZE
        self._buffer[:head] = protocol.reply(request.handle)
        position, end = request.offset, request.offset + request.length
        while True:
            piece = min(PIECE, end - position)
            try:
                await self._read(export, position, self._buffer[head : head + piece])
            except OutOfRange:
                await self._send(self._buffer[:head])
                return False
            await self._send(self._buffer[: head + piece])
            position, head = position + piece, 0
            if position >= end:
                return True

    async def _read(self, export: Export, offset: int, view: memoryview) -> None:
        if len(view) > SMALL and export.reads_block():
            await asyncio.to_thread(export.disk.read_into, offset, view)
        else:
            export.disk.read_into(offset, view)

    async def _send(self, data: bytes | memoryview) -> None:
        allowed = self._allowance(len(data))
        await self._stream.send(data[:allowed])
        if allowed < len(data):
            self._stream.abort()
            raise ConnectionAbortedError(f"cut after {allowed} of {len(data)} bytes")


def _answer(option: int, mode: Mode) -> OptionReply:
    if option == Option.ABORT:
        return OptionReply.ACK
    if option == Option.LIST:
        return OptionReply.ERR_POLICY
    if option == Option.STARTTLS:
        return OptionReply.ERR_INVALID if mode is Mode.FORCED_TLS else OptionReply.ERR_POLICY
    return OptionReply.ERR_UNSUP


def _refusal(request: protocol.Request) -> Error:
    if request.command == Command.WRITE:
        return Error.EPERM
    if request.command != Command.READ or request.flags:
        return Error.EINVAL
    if request.offset % SECTOR or request.length % SECTOR:
        return Error.EINVAL
    return Error.NONE
