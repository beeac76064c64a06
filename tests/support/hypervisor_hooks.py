"""An HTTPS server of the operator's that backups call."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from services.chassis.tls import TlsFiles


@dataclass
class HookServer:
    """``answers`` by path: a status line with headers; 204 without. ``silent`` paths never answer."""

    port: int = 0
    answers: dict[str, str] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)
    called: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    def url(self, path: str) -> str:
        return f"https://localhost:{self.port}{path}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        method, path, _ = head[0].split()
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        body = await reader.readexactly(int(headers["content-length"]))
        assert "POST" == method and "application/json" == headers["content-type"]
        self.called.append((path, json.loads(body)))
        if path in self.silent:
            await reader.read()
        else:
            answer = self.answers.get(path, "204 No Content")
            writer.write(f"HTTP/1.1 {answer}\r\nContent-Length: 0\r\n\r\n".encode())
            await writer.drain()
        writer.close()


@asynccontextmanager
async def hook_server(tls: TlsFiles) -> AsyncIterator[HookServer]:
    """Serves with the certificate of ``tls`` until the end of the block."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tls.cert, tls.key)
    hooks = HookServer()
    server = await asyncio.start_server(hooks._serve, "127.0.0.1", 0, ssl=context)
    hooks.port = server.sockets[0].getsockname()[1]
    async with server:
        yield hooks
        server.close()
