"""An HTTPS server that takes a disk as framed raw data, and behaves as the recordings of xapi say.

It answers 200 before it reads the body, closes when the end marker was read, and says what went wrong as a
second answer within the connection. Each connection follows the next of its scripts, and the last one for
ever.
"""

import socket
import ssl
import struct
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from services.mover.adapters.write_endpoint import WriteEndpoint
from tests.integration.mover_io.nbdkit import Certificate

OK = b"HTTP/1.1 200 OK\r\nConnection: close\r\nCache-Control: no-cache\r\ntask-id: OpaqueRef:1\r\n\r\n"
FAILURE = (
    b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nCache-Control: no-cache, no-store\r\n\r\n"
    b"HTTP/1.1 500 Internal Error\r\ncontent-length: 266\r\nconnection:close\r\n\r\n"
    b"<html><body><h1>HTTP 500 internal server error</h1>VDI_IO_ERROR: [ Device I/O errors ]</body></html>"
)

Script = Callable[["Visit"], None]


@dataclass
class Visit:
    """One connection: the request's head has been read."""

    server: "FramedServer"
    stream: ssl.SSLSocket
    head: str

    def exactly(self, length: int) -> bytes:
        data = bytearray()
        while len(data) < length:
            piece = self.stream.recv(length - len(data))
            if not piece:
                raise ConnectionResetError
            data += piece
        return bytes(data)

    def take_frames(self, most: int = 1 << 62) -> bool:
        """Apply up to ``most`` frames; True when the end marker came."""
        for _ in range(most):
            offset, length = struct.unpack("<QI", self.exactly(12))
            if not length:
                return True
            self.server.disk[offset : offset + length] = self.exactly(length)
            self.server.frames.append((offset, length))
        return False

    def say(self, text: bytes) -> None:
        self.stream.sendall(text)

    def goodbye(self, *, wait: bool = False) -> None:
        """Announce the end of TLS, and perhaps wait for the client to do so too."""
        if not wait:
            self.stream.setblocking(False)
        with suppress(OSError):
            self.stream.unwrap()


def takes_all(visit: Visit) -> None:
    visit.say(OK)
    visit.take_frames()
    visit.goodbye()


def fails_after(frames: int) -> Script:
    def script(visit: Visit) -> None:
        visit.say(OK)
        visit.take_frames(frames)
        visit.say(FAILURE)
        visit.goodbye()

    return script


def cuts_after(frames: int) -> Script:
    def script(visit: Visit) -> None:
        visit.say(OK)
        visit.take_frames(frames)

    return script


def says(answer: bytes) -> Script:
    def script(visit: Visit) -> None:
        visit.say(answer)
        visit.goodbye()

    return script


def goes_silent(visit: Visit) -> None:
    visit.say(OK)
    visit.take_frames(1)
    visit.server.stopped.wait()


@dataclass
class FramedServer:
    """Runs inside a ``with`` block."""

    directory: Path
    size_bytes: int
    scripts: Sequence[Script] = (takes_all,)
    host_id: str = "host-1"
    heads: list[str] = field(default_factory=list)
    frames: list[tuple[int, int]] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "FramedServer":
        self.disk = bytearray(self.size_bytes)
        certificate = Certificate.new()
        certificate.write_to(self.directory / f"https-{self.host_id}")
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(
            self.directory / f"https-{self.host_id}" / "server-cert.pem",
            self.directory / f"https-{self.host_id}" / "server-key.pem",
        )
        self._listener = socket.create_server(("127.0.0.1", 0))
        port = self._listener.getsockname()[1]
        self.endpoint = WriteEndpoint(
            self.host_id, f"https://127.0.0.1:{port}/disk?session_id=secret", certificate.certificate
        )
        self._visits: list[threading.Thread] = []
        self._acceptor = threading.Thread(target=self._accept)
        self._acceptor.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Nobody listens any more."""
        self.stopped.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._acceptor.join()
        for visit in self._visits:
            visit.join()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                accepted, _ = self._listener.accept()
                accepted.settimeout(20)
                script = self.scripts[min(len(self._visits), len(self.scripts) - 1)]
                visit = threading.Thread(target=self._serve, args=(accepted, script))
                self._visits.append(visit)
                visit.start()

    def _serve(self, accepted: socket.socket, script: Script) -> None:
        with suppress(OSError), self._context.wrap_socket(accepted, server_side=True) as stream:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                piece = stream.recv(1)
                if not piece:
                    return
                head += piece
            self.heads.append(head.decode())
            script(Visit(self, stream, head.decode()))
