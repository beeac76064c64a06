"""HTTPS to one host whose certificate is known by its fingerprint.

The pin is checked before the first byte of a request leaves, on every connection; chain, name and dates of
the certificate are not: hosts present self-signed certificates (facts of xapi: gencert).
"""

import hashlib
import ssl
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

import httpcore

from services.chassis.tcp import died_of_silence, dying_of_silence

CONNECT_TIMEOUT_S = 5.0
SILENT_AFTER_S = 12
"""A connection is lost when the host's kernel acknowledges nothing for so long, however long an answer may
take."""
_IDLE_S = 10.0
_CONNECTIONS = 32


class ConnectFailed(Exception):
    """No connection came about: nothing was sent. The text says why, without addresses."""


class ConnectionLost(Exception):
    """The connection broke or was too slow: the request may have been executed."""


class HostSilent(ConnectionLost):
    """Nothing comes back from the host: its power is cut, or the network."""


class WrongCertificate(Exception):
    """The host presents another certificate than the pinned one; ``presented`` is its SHA-256."""

    def __init__(self, presented: str) -> None:
        super().__init__(f"presents certificate {presented}")
        self.presented = presented


@dataclass(frozen=True)
class Response:
    """An HTTP answer, read to its end."""

    status: int
    headers: dict[str, str]
    body: bytes


class PinnedHttps:
    """Connections to ``host:port``, kept alive. ``sha256``: fingerprint of the certificate's DER form."""

    def __init__(self, host: str, port: int, sha256: str) -> None:
        self._origin = f"https://{_bracketed(host)}:{port}"
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=_context(),
            max_connections=_CONNECTIONS,
            keepalive_expiry=_IDLE_S,
            network_backend=_PinnedBackend(sha256),
            socket_options=dying_of_silence(SILENT_AFTER_S),
        )

    async def request(
        self,
        method: str,
        target: str,
        headers: dict[str, str],
        body: bytes | AsyncIterator[bytes],
        timeout_s: float,
    ) -> Response:
        """``timeout_s`` bounds each wait for the peer. A body that is iterated needs a Content-Length.

        Raises ConnectFailed, ConnectionLost, WrongCertificate.
        """
        with _explained():
            response = await self._pool.request(
                method,
                self._origin + target,
                headers=[("Host", self._origin.removeprefix("https://")), *headers.items()],
                content=body,
                extensions={
                    "timeout": {
                        "connect": CONNECT_TIMEOUT_S,
                        "pool": timeout_s,
                        "read": timeout_s,
                        "write": timeout_s,
                    }
                },
            )
        names = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}
        return Response(response.status, names, response.content)

    @asynccontextmanager
    async def beginning(self, target: str, timeout_s: float) -> AsyncIterator["Beginning"]:
        """A GET whose body is read as far as wanted; leaving closes the connection.

        Raises as ``request``, and ConnectionLost for a status other than 200.
        """
        extensions = {"timeout": {"connect": CONNECT_TIMEOUT_S, "pool": timeout_s, "read": timeout_s}}
        with _explained():
            async with self._pool.stream(
                "GET",
                self._origin + target,
                headers=[("Host", self._origin.removeprefix("https://")), ("Connection", "close")],
                extensions=extensions,
            ) as response:
                if response.status != 200:
                    raise ConnectionLost(f"the host answered with HTTP status {response.status}")
                yield Beginning(response.aiter_stream())

    async def close(self) -> None:
        await self._pool.aclose()


class Beginning:
    """A body that is read piece by piece."""

    def __init__(self, stream: AsyncIterator[bytes]) -> None:
        self._stream = stream
        self._buffer = bytearray()

    async def exactly(self, count: int) -> bytes:
        """The next ``count`` bytes; raises ConnectionLost when the body ends before."""
        while len(self._buffer) < count:
            piece = await anext(self._stream, b"")
            if not piece:
                raise ConnectionLost("the host's answer ended too early")
            self._buffer += piece
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken

    async def rest(self) -> AsyncIterator[bytes]:
        """All that follows. A body without a length ends where its connection does, whatever the reason."""
        if self._buffer:
            yield bytes(self._buffer)
            self._buffer.clear()
        async for piece in self._stream:
            yield piece


async def presented_certificate(host: str, port: int) -> bytes:
    """The DER certificate a host presents; raises ConnectFailed."""
    try:
        stream = await httpcore.AnyIOBackend().connect_tcp(host, port, timeout=CONNECT_TIMEOUT_S)
        try:
            tls = await stream.start_tls(_context(), server_hostname=host, timeout=CONNECT_TIMEOUT_S)
            return _certificate(tls)
        finally:
            await stream.aclose()
    except (httpcore.NetworkError, httpcore.TimeoutException) as error:
        raise ConnectFailed(str(error) or type(error).__name__) from error


def fingerprint(der: bytes) -> str:
    """SHA-256 in lower-case hexadecimal."""
    return hashlib.sha256(der).hexdigest()


def fingerprint_of_pem(pem: str) -> str:
    """The same of a PEM certificate; raises ValueError when it is none."""
    return fingerprint(ssl.PEM_cert_to_DER_cert(pem.strip()))


@contextmanager
def _explained() -> Iterator[None]:
    """Turns what the HTTP client raises into our three; it hides what the kernel said."""
    try:
        yield
    except (httpcore.ConnectError, httpcore.ConnectTimeout, httpcore.PoolTimeout) as error:
        raise ConnectFailed(str(error) or type(error).__name__) from error
    except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError) as error:
        if _silence_is_behind(error):
            raise HostSilent(f"the host has fallen silent for {SILENT_AFTER_S} s") from error
        raise ConnectionLost(str(error) or type(error).__name__) from error


def _silence_is_behind(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, OSError) and died_of_silence(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _certificate(stream: httpcore.AsyncNetworkStream) -> bytes:
    der: bytes | None = stream.get_extra_info("ssl_object").getpeercert(binary_form=True)
    if der is None:
        raise httpcore.ConnectError("the host presented no certificate")
    return der


class _PinnedBackend(httpcore.AsyncNetworkBackend):
    def __init__(self, sha256: str) -> None:
        self._sha256 = sha256
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        stream = await self._inner.connect_tcp(host, port, timeout, local_address, socket_options)
        return _PinnedStream(stream, self._sha256)

    async def sleep(self, seconds: float) -> None:
        await self._inner.sleep(seconds)


class _PinnedStream(httpcore.AsyncNetworkStream):
    """A TCP connection that becomes a TLS one only with the right peer."""

    def __init__(self, stream: httpcore.AsyncNetworkStream, sha256: str) -> None:
        self._stream = stream
        self._sha256 = sha256

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        tls = await self._stream.start_tls(ssl_context, server_hostname, timeout)
        presented = fingerprint(_certificate(tls))
        if presented != self._sha256:
            await tls.aclose()
            raise WrongCertificate(presented)
        return tls

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return await self._stream.read(max_bytes, timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    def get_extra_info(self, info: str) -> object:
        return self._stream.get_extra_info(info)
