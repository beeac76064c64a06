"""Text messages through an SMS centre that speaks SMPP 3.4."""

import asyncio
import zlib
from collections.abc import Iterator

from services.chassis.config import Secret
from services.chassis.errors import FailedPrecondition, Unavailable
from services.notifier.adapters import smpp_pdu as pdu
from services.notifier.adapters.client_tls import client_tls
from services.notifier.adapters.peer_errors import said, talking_to
from services.notifier.adapters.smpp_session import SmppSession
from services.notifier.domain.delivery import Delivery, Receipt
from services.notifier.domain.gsm7 import segments
from services.notifier.domain.settings import Sms, SmsTransport
from services.notifier.domain.text import short_text
from services.notifier.ports import Files


class SmppSink:
    """One session per delivery; the message counts when the centre has answered every segment."""

    def __init__(self, settings: Sms, files: Files, *, deadline_s: float = 30.0) -> None:
        self._settings = settings
        self._files = files
        self._deadline_s = deadline_s

    async def deliver(self, delivery: Delivery) -> Receipt:
        settings = self._settings
        peer = f"The SMS centre {settings.host}:{settings.port}"
        password = await self._files.password(settings.password_file)
        context = None
        if settings.transport is SmsTransport.TLS:
            context = client_tls(await self._files.certificates(settings.ca_file))
        bodies = list(self._submissions(delivery))
        async with talking_to(peer, self._deadline_s):
            reader, writer = await asyncio.open_connection(settings.host, settings.port, ssl=context)
            try:
                session = SmppSession(reader, writer, peer)
                await self._bind(session, password)
                message_ids = [await session.submit(body) for body in bodies]
                farewell = await _unbound(session)
            finally:
                writer.transport.abort()
        taken = ", ".join(said(message_id) or "no id" for message_id in message_ids)
        count = f"{len(bodies)} segment{'s' if len(bodies) > 1 else ''}"
        return Receipt(True, f"The SMS centre took {count}: {taken}.{farewell}")

    async def _bind(self, session: SmppSession, password: Secret) -> None:
        try:
            await session.bind(self._settings.system_id, password.reveal(), self._settings.system_type)
        except ValueError as error:
            raise FailedPrecondition(
                f"The password in {self._settings.password_file} is none of SMPP: {error}.",
                reason="PASSWORD_INVALID",
                hint="SMPP 3.4 passwords have at most 8 ASCII characters.",
            ) from error

    def _submissions(self, delivery: Delivery) -> Iterator[bytes]:
        cut = segments(short_text(delivery.notification))
        several = len(cut.bodies) > 1
        reference = zlib.crc32(delivery.delivery_id.encode()) & 0xFF
        for number, body in enumerate(cut.bodies, start=1):
            header = bytes([5, 0, 3, reference, len(cut.bodies), number]) if several else b""
            yield pdu.submit_body(
                self._settings.sender, delivery.recipient, header + body, gsm7=cut.gsm7, segmented=several
            )


async def _unbound(session: SmppSession) -> str:
    """The message is taken: a peer that does not say goodbye is worth a remark, not a second message."""
    try:
        async with asyncio.timeout(2.0):
            await session.unbind()
    except (Unavailable, FailedPrecondition, TimeoutError, OSError, EOFError) as error:
        return f" It did not answer the unbind ({type(error).__name__})."
    return ""
