"""A guest's view of its disk: a writable NBD export on a unix socket, for qemu, libnbd's tools or a test.

Writes land in whatever is the top of the disk's chain at that moment, wholly before or after a snapshot.
"""

from __future__ import annotations

import asyncio
import struct
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from services.simulator.nbd import protocol
from services.simulator.nbd.protocol import Command, Error, Option, OptionReply, ProtocolError
from services.simulator.nbd.stream import Stream
from services.simulator.storage.errors import NoSpace, OutOfRange, StorageError
from services.simulator.storage.ports import SECTOR, Disk

MAX_REQUEST = 32 * 1024 * 1024
THREADS = 4
HAS_FLAGS, FLUSH, FUA, TRIM, WRITE_ZEROES, MULTI_CONN = 1, 4, 8, 32, 64, 256
EXPORT_FLAGS = HAS_FLAGS | FLUSH | FUA | TRIM | WRITE_ZEROES | MULTI_CONN
NO_HOLE = 2  # flag of WRITE_ZEROES
INFO_EXPORT, INFO_BLOCK_SIZE = 0, 3


class GuestDisk:
    """Serves one disk under the empty export name until it is closed.

    It works in threads of its own: those of all others may be busy with a host's slow link.
    """

    def __init__(self, disk: Disk, socket_path: Path) -> None:
        self._disk = disk
        self._path = socket_path
        self._server: asyncio.Server | None = None
        self._guests: dict[asyncio.Task[None], Stream] = {}
        self._gate = Gate()
        self._threads = ThreadPoolExecutor(THREADS, f"guest of {disk.uuid}")

    @property
    def uri(self) -> str:
        """Where libnbd and qemu find the disk."""
        return f"nbd+unix:///?socket={self._path}"

    async def start(self) -> None:
        """Listen, in place of the socket that a killed process may have left. OSError."""
        self._path.unlink(missing_ok=True)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(lambda: Stream(self._accept), str(self._path))

    async def close(self) -> None:
        """Power off: every connection is dropped. A write that was begun is finished first."""
        if self._server is not None:
            self._server.close()
            self._path.unlink(missing_ok=True)
        for stream in self._guests.values():
            stream.abort()
        self._gate.demolish()
        if self._guests:
            await asyncio.wait(self._guests)
        self._threads.shutdown(wait=False)

    async def hold(self) -> None:
        """Let requests wait; those that were begun are done when this returns."""
        await self._gate.shut()

    def go_on(self) -> None:
        """Answer again."""
        self._gate.open()

    def _accept(self, stream: Stream) -> None:
        task = asyncio.create_task(_Guest(stream, self._disk, self._gate, self._threads).serve())
        self._guests[task] = stream
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        del self._guests[task]
        if not task.cancelled() and (failure := task.exception()) is not None:
            task.get_loop().call_exception_handler(
                {"message": "a guest's disk connection failed", "exception": failure}
            )


class Gate:
    """Lets requests through, or lets them wait."""

    def __init__(self) -> None:
        self._opened = asyncio.Event()
        self._opened.set()
        self._empty = asyncio.Event()
        self._empty.set()
        self._inside = 0
        self._demolished = False

    async def __aenter__(self) -> None:
        """Raises ``ConnectionAbortedError`` when nobody gets in any more."""
        await self._opened.wait()
        if self._demolished:
            raise ConnectionAbortedError("the guest has no power")
        self._inside += 1
        self._empty.clear()

    async def __aexit__(self, *_: object) -> None:
        self._inside -= 1
        if not self._inside:
            self._empty.set()

    def open(self) -> None:
        self._opened.set()

    def demolish(self) -> None:
        """Turn away who waits, and who comes."""
        self._demolished = True
        self._opened.set()

    async def shut(self) -> None:
        """Nobody is inside when this returns."""
        self._opened.clear()
        await self._empty.wait()


class _Guest:
    """One connection."""

    def __init__(self, stream: Stream, disk: Disk, gate: Gate, threads: ThreadPoolExecutor) -> None:
        self._stream = stream
        self._disk = disk
        self._gate = gate
        self._threads = threads

    async def serve(self) -> None:
        try:
            if await self._negotiate():
                while await self._serve_request():
                    pass
        except (asyncio.IncompleteReadError, OSError, ProtocolError):
            self._stream.abort()
        await self._stream.close()

    async def _negotiate(self) -> bool:
        """True when the guest has chosen the export."""
        own_flags = protocol.FIXED_NEWSTYLE | protocol.NO_ZEROES
        await self._stream.send(protocol.BANNER + own_flags.to_bytes(2, "big"))
        flags = await protocol.read_flags(self._stream)
        size = self._disk.virtual_size
        while True:
            option = await protocol.read_option(self._stream)
            if option.number == Option.EXPORT_NAME:
                zeroes = not flags & protocol.NO_ZEROES
                await self._stream.send(protocol.export_reply(size, EXPORT_FLAGS, zeroes))
                return option.data == b""
            await self._stream.send(_answer(option, size))
            if option.number == Option.ABORT:
                return False
            if option.number == Option.GO and _names_the_disk(option.data):
                return True

    async def _serve_request(self) -> bool:
        request = await protocol.read_request(self._stream)
        if request.command == Command.DISC:
            return False
        if request.command in (Command.READ, Command.WRITE) and request.length > MAX_REQUEST:
            raise ProtocolError(f"{request.length} bytes are more than the {MAX_REQUEST} announced")
        payload = await self._stream.receive(request.length) if request.command == Command.WRITE else b""
        try:
            # In a thread: a snapshot or the end of a merge may hold writers up.
            async with self._gate:
                loop = asyncio.get_running_loop()
                done = await loop.run_in_executor(self._threads, self._do, request, payload)
            answer = protocol.reply(request.handle) + done
        except (StorageError, OutOfRange, OSError) as error:
            answer = protocol.reply(request.handle, _error_number(error))
        await self._stream.send(answer)
        return True

    def _do(self, request: protocol.Request, payload: bytes) -> bytes | bytearray:
        if request.command == Command.READ:
            data = bytearray(request.length)
            self._disk.read_into(request.offset, data)
            return data
        if request.command == Command.WRITE:
            self._disk.write(request.offset, payload)
        elif request.command == Command.WRITE_ZEROES:
            self._zero(request)
        elif request.command not in (Command.FLUSH, Command.TRIM):  # a VHD keeps what is trimmed
            raise OutOfRange(f"command {request.command} is not known")
        return b""

    def _zero(self, request: protocol.Request) -> None:
        if not request.flags & NO_HOLE:
            self._disk.write_zeroes(request.offset, request.length)
            return
        end = request.offset + request.length
        for offset in range(request.offset, end, MAX_REQUEST):
            self._disk.write(offset, bytes(min(MAX_REQUEST, end - offset)))


def _names_the_disk(data: bytes) -> bool:
    """GO and INFO: a name of length 0, then what the client wants to know."""
    return data[:4] == bytes(4)


def _answer(option: protocol.OptionRequest, size: int) -> bytes:
    number = option.number
    if number == Option.LIST:
        name = protocol.option_reply(number, OptionReply.SERVER, bytes(4))
        return name + protocol.option_reply(number, OptionReply.ACK)
    if number == Option.ABORT:
        return protocol.option_reply(number, OptionReply.ACK)
    if number not in (Option.GO, Option.INFO):
        return protocol.option_reply(number, OptionReply.ERR_UNSUP)
    if not _names_the_disk(option.data):
        return protocol.option_reply(number, OptionReply.ERR_UNKNOWN)
    export = struct.pack(">HQH", INFO_EXPORT, size, EXPORT_FLAGS)
    blocks = struct.pack(">HIII", INFO_BLOCK_SIZE, SECTOR, 4096, MAX_REQUEST)
    return (
        protocol.option_reply(number, OptionReply.INFO, export)
        + protocol.option_reply(number, OptionReply.INFO, blocks)
        + protocol.option_reply(number, OptionReply.ACK)
    )


def _error_number(error: Exception) -> Error:
    if isinstance(error, NoSpace):
        return Error.ENOSPC
    return Error.EINVAL if isinstance(error, OutOfRange) else Error.EIO
