"""smppy as the SMS centre: another implementation of SMPP 3.4 than ours."""

import asyncio
import ssl
import sys
import types
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

if find_spec("pkg_resources") is None:
    # smppy's `smpp` package declares a namespace by pkg_resources, which setuptools no longer has.
    namespaces = types.ModuleType("pkg_resources")
    namespaces.declare_namespace = lambda name: None  # type: ignore[attr-defined]
    sys.modules["pkg_resources"] = namespaces

from smppy import Application
from smppy.server import SmppProtocol


@dataclass(frozen=True)
class Sms:
    """A text message as smppy understood it; one entry per segment."""

    sender: str
    recipient: str
    text: str


@dataclass
class SmsCentre(Application):  # type: ignore[misc]  # smppy has no types
    """Knows one account; `unbound` counts clients that said goodbye."""

    system_id: str
    password: str
    port: int = 0
    messages: list[Sms] = field(default_factory=list)
    unbound: int = 0

    def __post_init__(self) -> None:
        super().__init__(name="centre")

    async def handle_bound_client(self, client: Any) -> Any:
        asked = (client.system_id, client.password)
        return client if asked == (self.system_id, self.password) else None

    async def handle_unbound_client(self, client: Any) -> None:
        self.unbound += 1

    async def handle_sms_received(self, client: Any, source_number: Any, dest_number: Any, text: str) -> None:
        self.messages.append(Sms(source_number, dest_number, text))


@asynccontextmanager
async def smpp_peer(tls: ssl.SSLContext | None = None) -> AsyncIterator[SmsCentre]:
    """An SMS centre on 127.0.0.1 with the account `keeper`, password `hunter2`."""
    centre = SmsCentre("keeper", "hunter2")
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SmppProtocol(app=centre), "127.0.0.1", 0, ssl=tls)
    centre.port = server.sockets[0].getsockname()[1]
    try:
        yield centre
    finally:
        server.close()
        await server.wait_closed()
