"""One NBD connection, blocking, for one thread at a time; several reads in flight, replies in any order.

Bytes go straight from the TLS layer into the caller's buffer. ``SSLSocket.recv_into`` yields one TLS record,
at most 16 KiB, a call; that, not Python, is the cost of a connection. Measured on two quiet cores over the
loopback against nbdkit 1.32, with OpenSSL 3.0 and Python 3.11, one connection, in MiB/s:

| request | plain, 1 in flight | plain, 4 | TLS, 1 in flight | TLS, 4 | seconds of processor a GiB, TLS |
|---|---|---|---|---|---|
| 64 KiB | 720 | 1960 | 370 | 780 | 1.6, 1.1 |
| 1 MiB | 3790 | 4660 | 830 | 1090 | 1.0, 0.9 |
| 2 MiB | 3100 | 4270 | 860 | 890 | 1.0, 1.1 |
| 8 MiB | 2300 | 2720 | 750 | 810 | 1.1, 1.2 |

Requests of 1 MiB are best because they stay in the processor's cache. Two and four connections gain nothing
there, both cores being busy, and neither does libnbd's nbdcopy (``tests/bench/measure_nbd.py`` compares). An
``ssl.MemoryBIO`` fed by larger ``recv`` calls was no faster with 64 KiB, 256 KiB or 1 MiB (670 to 1120
MiB/s): what it saves in system calls it spends on the copy.
"""

import contextlib
import socket
import time
from collections.abc import Iterable, Iterator
from typing import Self

from services.chassis.errors import DataLoss, XenkeepError
from services.chassis.tcp import is_silent
from services.mover.adapters import nbd_protocol as nbd
from services.mover.adapters.nbd_endpoint import NbdEndpoint
from services.mover.adapters.nbd_handshake import NbdTimeouts, OpenExport, explained, open_export
from services.mover.block_ranges import check_read
from services.mover.domain import BlockRead

_WINDOW = 4


class NbdConnection:
    """Make one with ``open``.

    After a failure it is closed, and ``failure``, ``outstanding`` and ``refused`` say what was lost.
    """

    def __init__(self, endpoint: NbdEndpoint, opened: OpenExport, timeouts: NbdTimeouts) -> None:
        self.endpoint = endpoint
        self.size_bytes = opened.export.size_bytes
        self.failure: XenkeepError | None = None
        self.outstanding: dict[int, BlockRead] = {}
        self.refused: BlockRead | None = None
        self._socket = opened.socket
        self._timeouts = timeouts
        self._next_handle = 1
        self._head = bytearray(nbd.REPLY_BYTES)

    @classmethod
    def open(
        cls, endpoint: NbdEndpoint, timeouts: NbdTimeouts | None = None, *, plaintext_allowed: bool = False
    ) -> Self:
        """Connect and ask for the disk; raises as ``open_export`` does."""
        timeouts = timeouts or NbdTimeouts()
        return cls(endpoint, open_export(endpoint, timeouts, plaintext_allowed=plaintext_allowed), timeouts)

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill the buffer with one request; the law is ``BlockSource.read_into``, for this connection."""
        for _ in self.read_many([BlockRead(offset, buffer)], window=1):
            pass

    def read_many(self, reads: Iterable[BlockRead], *, window: int = _WINDOW) -> Iterator[BlockRead]:
        """Do the reads with up to ``window`` in flight and yield each when its buffer is filled.

        Raises ``DataLoss`` NBD_READ_REFUSED when the server answers with an error, after which it hangs up;
        ``Unavailable``, ``DeadlineExceeded``, ``FailedPrecondition`` when the connection failed. One
        abandoned with reads outstanding cannot be used again.
        """
        waiting = iter(reads)
        drained = False
        while True:
            while not drained and len(self.outstanding) < window:
                read = next(waiting, None)
                if read is None:
                    drained = True
                else:
                    self._ask(read)
            if not self.outstanding:
                return
            yield self._answer()

    def interrupt(self) -> None:
        """Called from another thread: a read in progress ends with ``Unavailable``."""
        with contextlib.suppress(OSError):
            # Not SSLSocket.shutdown: it would drop the TLS layer first, and a read could meanwhile get
            # ciphertext.
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def close(self) -> None:
        """Take leave; a server that does not listen any more is no error."""
        if self.failure is None and not self.outstanding:
            with contextlib.suppress(OSError):
                self._socket.sendall(nbd.request(nbd.CMD_DISC))
        self._socket.close()

    def _ask(self, read: BlockRead) -> None:
        check_read(read, self.size_bytes)
        handle = self._next_handle
        self._next_handle += 1
        self.outstanding[handle] = read
        with self._failing("a request"):
            self._socket.sendall(nbd.request(nbd.CMD_READ, handle, read.offset, len(read.buffer)))

    def _answer(self) -> BlockRead:
        with self._failing("a read"):
            deadline = time.monotonic() + self._timeouts.reply
            self._receive(memoryview(self._head), deadline)
            error, handle = nbd.parse_reply(self._head)
            read = self.outstanding.get(handle)
            if read is None:
                raise nbd.Malformed("it answers a request that was not made")
            if error:
                self.refused = read
                raise DataLoss(
                    f"{self.endpoint.peer} cannot read {len(read.buffer)} bytes at {read.offset} "
                    f"of the disk: {nbd.errno_name(error)}.",
                    reason="NBD_READ_REFUSED",
                    metadata={"host": self.endpoint.host_id, "offset": str(read.offset)},
                )
            self._receive(read.buffer, deadline)
        return self.outstanding.pop(handle)

    def _receive(self, view: memoryview, deadline: float) -> None:
        receive = self._socket.recv_into
        left = len(view)
        while left:
            got = receive(view[-left:], left)
            if not got:
                raise ConnectionResetError("the server hung up")
            left -= got
            if left and time.monotonic() > deadline:
                raise TimeoutError

    def _is_silent(self) -> bool:
        return is_silent(self._socket, self._timeouts.silence)

    @contextlib.contextmanager
    def _failing(self, doing: str) -> Iterator[None]:
        try:
            with explained(self.endpoint, doing, self._timeouts.reply, self._is_silent):
                yield
        except XenkeepError as error:
            self.failure = error
            self._socket.close()
            raise
