"""What pools are spoken to over."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from services.chassis.clock import SystemClock
from services.hypervisor.adapters.pinned_https import ConnectFailed, PinnedHttps, WrongCertificate
from services.simulator.pool.certificates import HostCertificate, make_certificate


@asynccontextmanager
async def served(context: ssl.SSLContext) -> AsyncIterator[tuple[int, list[bytes]]]:
    """The port of a host, and what it was sent over connections that came about."""
    sent: list[bytes] = []
    serving: list[asyncio.Task[None]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                sent.append(data)
        writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.append(asyncio.create_task(serve(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=context)
    yield server.sockets[0].getsockname()[1], sent
    server.close()
    await asyncio.gather(*serving, server.wait_closed())


def certificate_of(path: Path) -> HostCertificate:
    return make_certificate(path, "host", "127.0.0.1", SystemClock().now())


def pin_of(certificate: HostCertificate) -> str:
    return certificate.fingerprint.replace(":", "").lower()


async def test_tls_before_1_2_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    certificate = certificate_of(tmp_path / "host.pem")
    context = certificate.server_context()
    with pytest.warns(DeprecationWarning):
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    async with served(context) as (port, sent):
        https = PinnedHttps("127.0.0.1", port, pin_of(certificate))
        with pytest.raises(ConnectFailed):
            await https.request("POST", "/jsonrpc", {}, b"a password", 10.0)
        await https.close()
    assert [] == sent


async def test_a_host_with_another_certificate_is_sent_nothing(tmp_path: Path) -> None:
    agreed, presented = certificate_of(tmp_path / "agreed.pem"), certificate_of(tmp_path / "presented.pem")
    async with served(presented.server_context()) as (port, sent):
        https = PinnedHttps("127.0.0.1", port, pin_of(agreed))
        with pytest.raises(WrongCertificate) as refused:
            await https.request("POST", "/jsonrpc", {}, b"a password", 10.0)
        await https.close()
    assert pin_of(presented) == refused.value.presented
    assert [] == sent
