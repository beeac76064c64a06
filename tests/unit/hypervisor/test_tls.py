"""What pools are spoken to over."""

import asyncio
import ssl
from pathlib import Path

import pytest

from services.chassis.clock import SystemClock
from services.hypervisor.adapters.pinned_https import ConnectFailed, PinnedHttps
from services.simulator.pool.certificates import make_certificate


async def test_tls_before_1_2_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path / "host.pem", "host", "127.0.0.1", SystemClock().now())
    context = certificate.server_context()
    with pytest.warns(DeprecationWarning):
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    served: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(await reader.read())
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    https = PinnedHttps("127.0.0.1", port, certificate.fingerprint.replace(":", "").lower())
    with pytest.raises(ConnectFailed):
        await https.request("POST", "/jsonrpc", {}, b"a password", 10.0)
    await https.close()
    server.close()
    await server.wait_closed()
    assert served == []
