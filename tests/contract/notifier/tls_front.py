"""A TLS server that passes on what it decrypts, and tells whether its client ended properly."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class TlsFront:
    """`ends` gets an entry per connection: "close_notify", or what happened instead."""

    port: int = 0
    received: list[bytes] = field(default_factory=list)
    ends: asyncio.Queue[str] = field(default_factory=asyncio.Queue)


@asynccontextmanager
async def tls_front(directory: Path, upstream_port: int) -> AsyncIterator[TlsFront]:
    """Decrypts with cert.pem and key.pem of `directory`; Python's ssl module on a blocking socket per client,
    because asyncio hides whether a close_notify came."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "cert.pem", directory / "key.pem")
    front = TlsFront()
    loop = asyncio.get_running_loop()

    def converse(sock: ssl.SSLSocket) -> tuple[bytes, str]:
        data = b""
        with sock:
            try:
                sock.do_handshake()
                while part := sock.recv(65536):
                    data += part
                sock.unwrap().close()
            except (ssl.SSLEOFError, OSError) as error:
                return data, type(error).__name__
        return data, "close_notify"

    async def accept() -> None:
        while True:
            raw, _ = await loop.sock_accept(listener)
            raw.settimeout(10)
            sock = context.wrap_socket(
                raw, server_side=True, do_handshake_on_connect=False, suppress_ragged_eofs=False
            )
            data, end = await asyncio.to_thread(converse, sock)
            _, writer = await asyncio.open_connection("127.0.0.1", upstream_port)
            writer.write(data)
            writer.close()
            await writer.wait_closed()
            front.received.append(data)
            front.ends.put_nowait(end)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        front.port = listener.getsockname()[1]
        accepting = asyncio.create_task(accept())
        try:
            yield front
        finally:
            accepting.cancel()
            await asyncio.gather(accepting, return_exceptions=True)
