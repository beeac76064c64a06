"""From an endpoint to a connected, pinned socket on which the disk's bytes can be asked for."""

import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from services.chassis.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    InvalidInput,
    ResourceExhausted,
    Unavailable,
)
from services.chassis.tcp import dying_of_silence, is_silent, set_options
from services.mover.adapters import nbd_protocol as nbd
from services.mover.adapters.nbd_endpoint import NbdEndpoint
from services.mover.adapters.pinned_tls import pinned_tls

HOST_SILENT = "NBD_HOST_SILENT"


@dataclass(frozen=True, slots=True)
class NbdTimeouts:
    """In seconds. The handshake includes attaching the disk at the host; a reply includes all of its data.

    ``silence`` is how long the host's kernel may acknowledge nothing: whoever merely reads slowly does.
    """

    connect: float = 10.0
    handshake: float = 60.0
    reply: float = 60.0
    silence: int = 15


@dataclass(frozen=True, slots=True)
class OpenExport:
    """What a handshake yields."""

    socket: socket.socket
    export: nbd.Export


def open_export(endpoint: NbdEndpoint, timeouts: NbdTimeouts, *, plaintext_allowed: bool) -> OpenExport:
    """Connect, start TLS, ask for the disk.

    Raises ``ResourceExhausted`` NBD_HOST_FULL when the host hangs up before its banner (it does so beyond 16
    connections, and when NBD was switched off), ``FailedPrecondition`` NBD_EXPORT_REFUSED when it hangs up on
    the export name, NBD_TLS_REFUSED, NBD_PROTOCOL_VIOLATION, ``Unauthenticated`` CERTIFICATE_MISMATCH,
    ``Unavailable`` (NBD_HOST_SILENT when nothing comes back) and ``DeadlineExceeded`` when it cannot be
    reached or stalls.
    """
    if not endpoint.certificate_pem and not plaintext_allowed:
        raise InvalidInput(
            f"The NBD server of {endpoint.peer} offers no TLS.",
            reason="NBD_PLAINTEXT_REFUSED",
            hint="Give its network the purpose nbd instead of insecure_nbd, or allow plain text.",
        )
    return _Handshake(endpoint, timeouts).run()


class _Handshake:
    def __init__(self, endpoint: NbdEndpoint, timeouts: NbdTimeouts) -> None:
        self._endpoint = endpoint
        self._timeouts = timeouts
        self._deadline = 0.0
        self._socket = self._connect()

    def run(self) -> OpenExport:
        """All steps; the socket is closed unless all succeed."""
        try:
            with self._explained():
                export = self._negotiate()
        except BaseException:
            self._socket.close()
            raise
        self._socket.settimeout(self._timeouts.reply)
        return OpenExport(self._socket, export)

    def _connect(self) -> socket.socket:
        where = (self._endpoint.address, self._endpoint.port)
        try:
            connected = socket.create_connection(where, timeout=self._timeouts.connect)
        except TimeoutError as error:
            raise _silent(self._endpoint, "connecting") from error
        except (OSError, UnicodeError) as error:
            raise Unavailable(
                f"No connection to the NBD server of {self._endpoint.peer}: {error}.",
                reason="NBD_UNREACHABLE",
                metadata={"host": self._endpoint.host_id},
            ) from error
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        set_options(connected, dying_of_silence(self._timeouts.silence))
        self._deadline = time.monotonic() + self._timeouts.handshake
        return connected

    def _negotiate(self) -> nbd.Export:
        banner = self._receive(nbd.BANNER_BYTES)
        if not banner:
            raise ResourceExhausted(
                f"{self._endpoint.peer} hangs up on NBD clients.",
                reason="NBD_HOST_FULL",
                hint="It serves 16 connections at most; or NBD was switched off on its networks.",
                metadata={"host": self._endpoint.host_id},
            )
        flags = nbd.parse_banner(banner)
        self._socket.sendall(nbd.client_flags(flags))
        if self._endpoint.certificate_pem:
            self._start_tls()
        name = self._endpoint.export_name.encode()
        self._socket.sendall(nbd.option(nbd.OPT_EXPORT_NAME, name))
        answer = self._receive(nbd.export_bytes(flags))
        if not answer:
            raise FailedPrecondition(
                f"{self._endpoint.peer} does not give the disk.",
                reason="NBD_EXPORT_REFUSED",
                hint="The disk is gone, cannot be attached there, or the permission to read it has ended.",
                metadata={"host": self._endpoint.host_id},
            )
        return nbd.parse_export(answer)

    def _start_tls(self) -> None:
        self._socket.sendall(nbd.option(nbd.OPT_STARTTLS))
        reply = self._receive(nbd.OPTION_REPLY_BYTES)
        if not reply:
            raise ConnectionResetError("it hung up on STARTTLS")
        kind = nbd.parse_option_reply(reply, nbd.OPT_STARTTLS)
        if kind != nbd.REP_ACK:
            raise FailedPrecondition(
                f"{self._endpoint.peer} refuses TLS: {nbd.refusal(kind)}.",
                reason="NBD_TLS_REFUSED",
                hint="Give its network the purpose nbd instead of insecure_nbd.",
                metadata={"host": self._endpoint.host_id},
            )
        self._socket.settimeout(self._remaining())
        self._socket = pinned_tls(
            self._socket,
            certificate_pem=self._endpoint.certificate_pem,
            server_name=self._endpoint.server_name,
            peer=self._endpoint.peer,
        )

    def _receive(self, length: int) -> bytes:
        """Exactly ``length`` bytes, or none when the server hung up before the first."""
        answer = bytearray()
        while len(answer) < length:
            self._socket.settimeout(self._remaining())
            try:
                piece = self._socket.recv(length - len(answer))
            except ConnectionResetError:
                piece = b""
            if not piece and is_silent(self._socket, self._timeouts.silence):
                raise TimeoutError
            if not piece:
                if answer:
                    raise ConnectionResetError("it hung up within the handshake")
                return b""
            answer += piece
        return bytes(answer)

    def _remaining(self) -> float:
        remaining = self._deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError
        return remaining

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        def silent() -> bool:
            return is_silent(self._socket, self._timeouts.silence)

        with explained(self._endpoint, "the handshake", self._timeouts.handshake, silent):
            yield


@contextlib.contextmanager
def explained(
    endpoint: NbdEndpoint, doing: str, seconds: float, silent: Callable[[], bool]
) -> Iterator[None]:
    """Turn what a socket and the parsers raise into errors that name the host, which may be ``silent``."""
    about = {"host": endpoint.host_id}
    try:
        yield
    except nbd.Malformed as error:
        raise FailedPrecondition(
            f"{endpoint.peer} does not follow the NBD protocol: {error}.",
            reason="NBD_PROTOCOL_VIOLATION",
            hint="Is that really an NBD server of the pool?",
            metadata=about,
        ) from error
    except TimeoutError as error:
        if silent():
            raise _silent(endpoint, doing) from error
        raise DeadlineExceeded(
            f"{endpoint.peer} did not finish {doing} within {seconds:g} s.",
            reason="NBD_TIMEOUT",
            metadata=about,
        ) from error
    except OSError as error:
        if silent():
            raise _silent(endpoint, doing) from error
        raise Unavailable(
            f"The connection to {endpoint.peer} broke during {doing}: {error}.",
            reason="NBD_CONNECTION_LOST",
            metadata=about,
        ) from error


def _silent(endpoint: NbdEndpoint, doing: str) -> Unavailable:
    return Unavailable(
        f"{endpoint.peer} has fallen silent: during {doing} nothing came back any more.",
        reason=HOST_SILENT,
        hint="Its power or the network between may be cut.",
        metadata={"host": endpoint.host_id},
    )
