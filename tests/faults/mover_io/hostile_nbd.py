"""An NBD server that misbehaves on request, over real TLS."""

import socket
import ssl
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from services.mover.adapters.nbd_endpoint import NbdEndpoint
from tests.integration.mover_io.nbdkit import Certificate

BANNER = b"NBDMAGICIHAVEOPT\x00\x01"
ACK = struct.pack(">QIII", 0x0003E889045565A9, 5, 1, 0)
SIZE = 1 << 20


@dataclass(frozen=True)
class Request:
    """A request as it was received."""

    command: int
    handle: int
    offset: int
    length: int


@dataclass
class Talk:
    """One connection, as the server sees it."""

    server: "HostileNbd"
    stream: socket.socket

    def exactly(self, length: int) -> bytes:
        data = bytearray()
        while len(data) < length:
            piece = self.stream.recv(length - len(data))
            if not piece:
                raise ConnectionResetError
            data += piece
        return bytes(data)

    def say(self, data: bytes) -> None:
        self.stream.sendall(data)

    def hang(self) -> None:
        self.server.stopped.wait()

    def greet(self) -> None:
        self.say(BANNER)
        self.exactly(4)
        self.exactly(16)
        self.say(ACK)
        self.start_tls()

    def start_tls(self) -> None:
        self.stream = self.server.context.wrap_socket(self.stream, server_side=True)

    def export(self, size: int = SIZE, flags: int = 3, padding: bytes = bytes(124)) -> None:
        self.exactly(struct.unpack(">8sII", self.exactly(16))[2])
        self.say(struct.pack(">QH", size, flags) + padding)

    def request(self) -> Request:
        _, _, command, handle, offset, length = struct.unpack(">IHHQQI", self.exactly(28))
        return Request(command, handle, offset, length)

    def reply(self, request: Request, error: int = 0, magic: int = 0x67446698) -> None:
        self.say(struct.pack(">IIQ", magic, error, request.handle))
        if not error:
            self.say(self.server.disk[request.offset : request.offset + request.length])

    def serve(self) -> None:
        """Be good from here on."""
        while (request := self.request()).command == 0:
            self.reply(request)


Script = Callable[[Talk], None]


def good(talk: Talk) -> None:
    talk.greet()
    talk.export()
    talk.serve()


@dataclass
class HostileNbd:
    """Runs inside a ``with`` block; each connection follows the next script, and the last one for ever."""

    directory: Path
    scripts: list[Script]
    disk: bytes = bytes(SIZE)
    host_id: str = "host-1"
    stopped: threading.Event = field(default_factory=threading.Event)
    connections: int = 0

    def __enter__(self) -> "HostileNbd":
        certificate = Certificate.new()
        certificate.write_to(self.directory / f"tls-{self.host_id}")
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(
            self.directory / f"tls-{self.host_id}" / "server-cert.pem",
            self.directory / f"tls-{self.host_id}" / "server-key.pem",
        )
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = NbdEndpoint(
            self.host_id,
            "127.0.0.1",
            self._listener.getsockname()[1],
            "/disk?session_id=secret",
            certificate.certificate,
        )
        self._talks: list[tuple[threading.Thread, socket.socket]] = []
        self._acceptor = threading.Thread(target=self._accept)
        self._acceptor.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._acceptor.join()
        for thread, stream in self._talks:
            with suppress(OSError):
                stream.shutdown(socket.SHUT_RDWR)
            thread.join()
            stream.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                accepted, _ = self._listener.accept()
                accepted.settimeout(20)
                script = self.scripts[min(self.connections, len(self.scripts) - 1)]
                self.connections += 1
                duplicate = accepted.dup()
                thread = threading.Thread(target=self._talk, args=(accepted, duplicate, script))
                self._talks.append((thread, duplicate))
                thread.start()

    def _talk(self, accepted: socket.socket, duplicate: socket.socket, script: Script) -> None:
        talk = Talk(self, accepted)
        with suppress(OSError):
            script(talk)
        with suppress(OSError):
            # Closed with requests unread, TCP resets the connection, and what was said last may be lost.
            duplicate.shutdown(socket.SHUT_WR)
            while duplicate.recv(1 << 16):
                pass
        talk.stream.close()
