"""One HTTPS PUT whose body is written bit by bit, to a server that answers before it reads.

Such a server says 200 to the head of the request, then takes the body. What goes wrong later it says inside
the same connection: a second ``HTTP/1.1 500 ...`` where nothing is expected (recorded from xapi 23.1; xapi:
ocaml/xapi/import_raw_vdi.ml). So everything it sends after its answer is a failure, and a silent end is
success.
"""

import contextlib
import socket
import ssl
import struct
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

from services.chassis.errors import FailedPrecondition, PermissionDenied, Unavailable, XenkeepError
from services.chassis.tcp import (
    WAITING_IS_NO_SILENCE,
    dying_of_silence,
    is_silent,
    set_options,
)
from services.mover.adapters.http_words import complaint_words, https_address, location, status
from services.mover.adapters.pinned_tls import pinned_tls
from services.mover.adapters.tcp_fate import all_was_taken
from services.mover.adapters.write_endpoint import WriteEndpoint
from services.mover.ports import Data

PERHAPS_TAKEN = frozenset({"HTTP_WRITE_CUT", "HTTP_HOST_SILENT"})
"""Reasons after which the host may be writing what it was sent, or go on when it is heard again."""
_HANGUP = 0.5
_LOOK_EVERY = 5.0
_LARGEST_HEAD = 32 << 10
_LARGEST_COMPLAINT = 64 << 10


@dataclass(frozen=True, slots=True)
class HttpTimeouts:
    """In seconds: to connect, for the answer, for a write to be taken, for the end to be on the disk.

    ``silence`` is how long the host's kernel may acknowledge nothing: whoever merely writes slowly does.
    """

    connect: float = 10.0
    answer: float = 120.0
    write: float = 300.0
    finish: float = 900.0
    silence: int = 15


class Redirected(Exception):
    """The server says that another one takes this disk."""

    def __init__(self, address: str, port: int) -> None:
        super().__init__(f"{address}:{port}")
        self.address = address
        self.port = port


class HttpPut:
    """One request; for one thread at a time, except ``interrupt``. Errors name the host and never the URL."""

    def __init__(self, endpoint: WriteEndpoint, content_length: int, timeouts: HttpTimeouts) -> None:
        """Send the head and wait for the answer.

        Raises ``Redirected``; ``PermissionDenied`` HTTP_WRITE_DENIED (401, 403), ``FailedPrecondition``
        HTTP_WRITE_REFUSED (any other status), and as ``pinned_tls`` does.
        """
        self._endpoint = endpoint
        self._timeouts = timeouts
        self._socket = self._connect()
        try:
            self._socket.settimeout(timeouts.answer)
            self._send(self._head(content_length))
            self._accept_answer()
            self._socket.settimeout(min(_LOOK_EVERY, timeouts.write))
            self._socket.setsockopt(*WAITING_IS_NO_SILENCE)
        except BaseException:
            self._socket.close()
            raise

    def write(self, *pieces: Data) -> None:
        """Send a part of the body. Raises what the server said meanwhile, or HTTP_WRITE_CUT."""
        self._raise_complaint()
        for piece in pieces:
            self._send(piece)

    def finish(self) -> bool:
        """Wait for the end, which comes when the body is on the disk; False when TLS did not announce it.

        Raises HTTP_WRITE_CUT unless the server took every byte before it hung up, HTTP_WRITE_FAILED when it
        said something. Even a good end is the host's word only: the disk's owner knows the outcome.
        """
        try:
            announced = self._await_end_of_tls()
            if announced:
                self._await_hangup()
        except OSError as error:
            raise self._cut(error) from error
        if not all_was_taken(self._socket):
            raise self._cut(ConnectionResetError("the server hung up before it had read everything"))
        return announced

    def interrupt(self) -> None:
        """Called from another thread: a write in progress ends with ``Unavailable``."""
        with contextlib.suppress(OSError):
            # Not SSLSocket.shutdown: it drops the TLS layer, and a write could go out in the clear.
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def _connect(self) -> ssl.SSLSocket:
        where = (self._endpoint.address, self._endpoint.port)
        try:
            connected = socket.create_connection(where, timeout=self._timeouts.connect)
        except (OSError, UnicodeError) as error:
            raise Unavailable(
                f"No connection to {self._endpoint.peer}: {error}.",
                reason="HTTP_UNREACHABLE",
                metadata={"host": self._endpoint.host_id},
            ) from error
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        set_options(connected, dying_of_silence(self._timeouts.silence))
        return pinned_tls(
            connected,
            certificate_pem=self._endpoint.certificate_pem,
            server_name=self._endpoint.address,
            peer=self._endpoint.peer,
            cuts_are_errors=True,
        )

    def _head(self, content_length: int) -> bytes:
        lines = (
            f"PUT {self._endpoint.target} HTTP/1.1",
            f"Host: {urlsplit(self._endpoint.url).netloc}",
            "User-Agent: xenkeep",
            "Content-Type: application/octet-stream",
            f"Content-Length: {content_length}",
            "Connection: close",
        )
        return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")

    def _accept_answer(self) -> None:
        answer, surplus = self._answer()
        code = status(answer)
        about = {"host": self._endpoint.host_id, "status": str(code)}
        if code == 200:
            if surplus:
                raise self._failure(surplus + self._rest())
            return
        if code in (301, 302, 307, 308) and (elsewhere := location(answer)):
            raise self._redirected(elsewhere)
        if code in (401, 403):
            raise PermissionDenied(
                f"{self._endpoint.peer} does not let the disk be written: {code}.",
                reason="HTTP_WRITE_DENIED",
                hint="The permission to write it has ended.",
                metadata=about,
            )
        raise FailedPrecondition(
            f"{self._endpoint.peer} does not take the disk: {code or 'no HTTP answer'}.",
            reason="HTTP_WRITE_REFUSED",
            metadata=about,
        )

    def _answer(self) -> tuple[bytes, bytes]:
        """The head of the answer, and what came with it behind."""
        answer = bytearray()
        deadline = time.monotonic() + self._timeouts.answer
        while b"\r\n\r\n" not in answer:
            try:
                piece = self._socket.recv(4096)
            except OSError as error:
                raise self._cut(error) from error
            if not piece or len(answer) > _LARGEST_HEAD or time.monotonic() > deadline:
                raise self._cut(ConnectionResetError("no answer to the request"))
            answer += piece
        head, _, surplus = bytes(answer).partition(b"\r\n\r\n")
        return head + b"\r\n\r\n", surplus

    def _redirected(self, elsewhere: str) -> Exception:
        if address := https_address(elsewhere):
            return Redirected(*address)
        return FailedPrecondition(
            f"{self._endpoint.peer} redirects the disk to what is not an HTTPS address.",
            reason="HTTP_REDIRECT_REFUSED",
            metadata={"host": self._endpoint.host_id},
        )

    def _await_end_of_tls(self) -> bool:
        """False when the connection ended first. TLS is not asked then: it would complain to the server."""
        deadline = time.monotonic() + self._timeouts.finish
        while True:
            self._socket.settimeout(max(0.001, min(_LOOK_EVERY, deadline - time.monotonic())))
            try:
                if not socket.socket.recv(self._socket, 1, socket.MSG_PEEK):
                    return False
            except TimeoutError as error:
                self._must_go_on(error, deadline)
                continue
            self._socket.setblocking(False)
            try:
                said = self._socket.recv(_LARGEST_COMPLAINT)
            except ssl.SSLWantReadError:
                continue
            if not said:
                return True
            raise self._failure(said + self._rest())

    def _await_hangup(self) -> None:
        """After the end of TLS, the connection's: a reset instead says that bytes were not read.

        A server may wait for ours first, so a late one does not matter.
        """
        self._socket.settimeout(min(_HANGUP, self._timeouts.finish))
        with contextlib.suppress(TimeoutError):
            socket.socket.recv(self._socket, 1)

    def _send(self, data: Data) -> None:
        """Raises what the server said meanwhile, HTTP_HOST_SILENT, or HTTP_WRITE_CUT."""
        left = memoryview(data).cast("B")
        deadline = time.monotonic() + self._timeouts.write
        while left:
            try:
                left = left[self._socket.send(left) :]
            except OSError as error:
                if not is_silent(self._socket, self._timeouts.silence):
                    self._raise_complaint()
                try:
                    self._must_go_on(error, deadline)
                except OSError as ended:
                    raise self._cut(ended) from ended

    def _must_go_on(self, error: OSError, deadline: float) -> None:
        """Returns when ``error`` only means that a while was waited in vain, and more may come."""
        silent = is_silent(self._socket, self._timeouts.silence)
        if silent or not isinstance(error, TimeoutError) or time.monotonic() >= deadline:
            raise error

    def _raise_complaint(self) -> None:
        """Look, without waiting, whether the server has said something."""
        timeout = self._socket.gettimeout()
        try:
            self._socket.setblocking(False)
            complaint = self._socket.recv(_LARGEST_COMPLAINT)
        except ssl.SSLWantReadError:
            return
        except OSError as error:
            raise self._cut(error) from error
        finally:
            self._socket.settimeout(timeout)
        if not complaint:
            raise self._cut(ConnectionResetError("the server hung up"))
        raise self._failure(complaint + self._rest())

    def _rest(self) -> bytes:
        """What else the server says before it hangs up; it explains an error, so missing it is no error."""
        said = bytearray()
        self._socket.settimeout(min(5.0, self._timeouts.answer))
        with contextlib.suppress(OSError):
            while len(said) < _LARGEST_COMPLAINT and (piece := self._socket.recv(4096)):
                said += piece
        return bytes(said)

    def _failure(self, said: bytes) -> XenkeepError:
        words = complaint_words(said)
        return FailedPrecondition(
            f"{self._endpoint.peer} failed to write the disk: {', '.join(words) or 'it does not say why'}.",
            reason="HTTP_WRITE_FAILED",
            hint="The host's own log says more.",
            metadata={"host": self._endpoint.host_id, "said": " ".join(words)},
        )

    def _cut(self, error: OSError) -> XenkeepError:
        if is_silent(self._socket, self._timeouts.silence):
            # Nothing that waits to be sent may arrive after another host has begun to write.
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return Unavailable(
                f"{self._endpoint.peer} fell silent while the disk was being written: nothing came back for "
                f"{self._timeouts.silence} s.",
                reason="HTTP_HOST_SILENT",
                hint="Its power or the network between may be cut.",
                metadata={"host": self._endpoint.host_id},
            )
        return Unavailable(
            f"The connection to {self._endpoint.peer} broke while the disk was being written: {error}.",
            reason="HTTP_WRITE_CUT",
            metadata={"host": self._endpoint.host_id},
        )
