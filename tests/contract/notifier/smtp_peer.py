"""aiosmtpd as the mail relay: TLS demanded, one account, and recipients it does not like."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword


@dataclass
class MailRelay:
    """`refusals` maps a recipient to the answer it gets."""

    port: int = 0
    refusals: dict[str, str] = field(default_factory=dict)
    mails: list[tuple[list[str], EmailMessage]] = field(default_factory=list)
    logins: list[bytes] = field(default_factory=list)
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def received(self, count: int) -> None:
        """Return when so many mails have come."""
        while len(self.mails) < count:
            self._arrived.clear()
            await self._arrived.wait()

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, _: Any) -> str:
        if address in self.refusals:
            return self.refusals[address]
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        parsed = message_from_bytes(envelope.content, policy=default)
        assert isinstance(parsed, EmailMessage)
        self.mails.append((envelope.rcpt_tos, parsed))
        self._arrived.set()
        return f"250 2.0.0 queued as {len(self.mails)}"

    def authenticate(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword)
        self.logins.append(data.login)
        return AuthResult(success=(data.login, data.password) == (b"keeper", b"hunter2"), handled=False)


@asynccontextmanager
async def smtp_peer(
    directory: Path,
    *,
    starttls: bool = True,
    login: bool = False,
    bind: str = "127.0.0.1",
    relay: MailRelay | None = None,
) -> AsyncIterator[MailRelay]:
    """A relay with cert.pem and key.pem of `directory`; account `keeper`, password `hunter2`."""
    relay = relay or MailRelay()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "cert.pem", directory / "key.pem")
    loop = asyncio.get_running_loop()

    def protocol() -> Any:
        return SMTP(
            relay,
            hostname="relay.example.org",
            tls_context=context if starttls else None,
            require_starttls=starttls,
            auth_required=login,
            authenticator=relay.authenticate if login else None,
            loop=loop,
        )

    server = await loop.create_server(protocol, bind, 0)
    relay.port = server.sockets[0].getsockname()[1]
    try:
        yield relay
    finally:
        server.close()
        await server.wait_closed()
