"""The servers that are told: syslog (RFC 5424 over TLS), mail (SMTP with STARTTLS), SMS (SMPP 3.4)."""

import asyncio
import re
import ssl
import sys
import types
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.policy import default
from importlib.util import find_spec
from typing import Any

from aiosmtpd.smtp import SMTP

from xenkeep.home import Home

if find_spec("pkg_resources") is None:
    # smppy's `smpp` package declares a namespace by pkg_resources, which setuptools no longer has.
    _namespaces = types.ModuleType("pkg_resources")
    _namespaces.declare_namespace = lambda name: None  # type: ignore[attr-defined]
    sys.modules["pkg_resources"] = _namespaces

from smppy import Application
from smppy.server import SmppProtocol

RFC5424 = re.compile(
    rb"<(?P<priority>\d{1,3})>1 (?P<time>\S+) (?P<host>\S+) (?P<app>\S+) (?P<process>\S+) (?P<id>\S+) "
    rb"(?P<data>-|(?:\[(?:[^\]\\]|\\.)*\])+)(?: (?P<text>.*))?",
    re.DOTALL,
)
SMS_ACCOUNT = ("xenkeep", "demo-sms")


@dataclass
class Peers:
    """Where they listen and what they got."""

    syslog_port: int = 0
    smtp_port: int = 0
    smpp_port: int = 0
    syslog: list[str] = field(default_factory=list)
    malformed: list[bytes] = field(default_factory=list)
    mails: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    def note(self, kept: list[str], text: str) -> None:
        """Keep a message and wake whoever waits for one."""
        kept.append(text)
        self.arrived.set()


@asynccontextmanager
async def peers(home: Home) -> AsyncIterator[Peers]:
    """Run the three servers on free ports of 127.0.0.1, with a certificate of the home's authority."""
    got = Peers()
    tls = _server_context(home)
    loop = asyncio.get_running_loop()
    syslog = await asyncio.start_server(lambda r, w: _syslog(got, r, w), "127.0.0.1", 0, ssl=tls)
    smtp = await loop.create_server(
        lambda: SMTP(_Mailbox(got), hostname="localhost", tls_context=tls, require_starttls=True, loop=loop),
        "127.0.0.1",
        0,
    )
    smpp = await loop.create_server(lambda: SmppProtocol(app=_SmsCentre(got)), "127.0.0.1", 0)
    servers = (syslog, smtp, smpp)
    got.syslog_port, got.smtp_port, got.smpp_port = (server.sockets[0].getsockname()[1] for server in servers)
    try:
        yield got
    finally:
        for server in servers:
            server.close()


async def _syslog(got: Peers, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Octet counting, RFC 5425 section 4.3.1: the length in digits, a blank, the message."""
    try:
        while length := await reader.readuntil(b" "):
            message = await reader.readexactly(int(length))
            if RFC5424.fullmatch(message):
                got.note(got.syslog, message.decode("utf-8"))
            else:
                got.malformed.append(message)
    except asyncio.IncompleteReadError:
        return  # the sender closed the connection
    finally:
        writer.close()


class _Mailbox:
    """aiosmtpd's handler: takes every mail."""

    def __init__(self, got: Peers) -> None:
        self._got = got

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        mail = message_from_bytes(envelope.content, policy=default)
        self._got.note(self._got.mails, str(mail["Subject"]))
        return "250 2.0.0 Taken"


class _SmsCentre(Application):  # type: ignore[misc]  # smppy has no types
    """One account, every text taken."""

    def __init__(self, got: Peers) -> None:
        super().__init__(name="demo")
        self._got = got

    async def handle_bound_client(self, client: Any) -> Any:
        return client if (client.system_id, client.password) == SMS_ACCOUNT else None

    async def handle_unbound_client(self, client: Any) -> None:
        return

    async def handle_sms_received(self, client: Any, source_number: Any, dest_number: Any, text: str) -> None:
        self._got.note(self._got.texts, text)


def _server_context(home: Home) -> ssl.SSLContext:
    _, certificate, key = home.certificate("admin")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    return context
