"""Syslog over UDP (RFC 5426), TCP with octet counting (RFC 6587) and TLS (RFC 5425)."""

import asyncio
import os
import socket
import ssl

from services.notifier.adapters.client_tls import client_tls
from services.notifier.adapters.peer_errors import talking_to
from services.notifier.adapters.syslog_message import cut, octet_counted, syslog_message
from services.notifier.domain.delivery import Delivery, Receipt
from services.notifier.domain.settings import Syslog, SyslogTransport
from services.notifier.ports import Files

FACILITY = 16
"""local0 (RFC 5424 table 1)."""
ENTERPRISE = 32473
"""The private enterprise number reserved for documentation (RFC 5612); the product has none of its own."""
DATAGRAM_BYTES = 2048
"""What every receiver of datagrams should take (RFC 5426 section 3.2)."""
STREAM_BYTES = 8192
"""What every receiver over TLS should take (RFC 5425 section 4.3.1); common servers cut or split above it."""


class SyslogSink:
    """One connection per delivery, closed in order: what was sent has been read when it ends."""

    def __init__(self, settings: Syslog, files: Files, *, hostname: str, deadline_s: float = 15.0) -> None:
        """`hostname` is who speaks, the HOSTNAME of the header."""
        self._settings = settings
        self._files = files
        self._hostname = hostname
        self._deadline_s = deadline_s

    async def deliver(self, delivery: Delivery) -> Receipt:
        settings = self._settings
        message = syslog_message(delivery, facility=FACILITY, enterprise=ENTERPRISE, hostname=self._hostname)
        peer = f"The syslog server {settings.host}:{settings.port} ({settings.transport.value})"
        match settings.transport:
            case SyslogTransport.UDP:
                async with talking_to(peer, self._deadline_s):
                    return await self._send_datagram(message)
            case SyslogTransport.TCP:
                async with talking_to(peer, self._deadline_s):
                    return await self._send_stream(message, None)
            case SyslogTransport.TLS:
                context = client_tls(await self._files.certificates(settings.ca_file))
                async with talking_to(peer, self._deadline_s):
                    return await self._send_stream(message, context)

    async def _send_datagram(self, message: bytes) -> Receipt:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(self._settings.host, self._settings.port, type=socket.SOCK_DGRAM)
        family, kind, protocol, _, address = found[0]
        datagram = cut(message, DATAGRAM_BYTES)
        with socket.socket(family, kind, protocol) as sock:
            sock.setblocking(False)
            await loop.sock_connect(sock, address)
            await loop.sock_sendall(sock, datagram)
            if error := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                raise ConnectionRefusedError(error, os.strerror(error))
        return Receipt(
            False, "Sent as a datagram: UDP cannot confirm that it arrived" + _lost(message, datagram)
        )

    async def _send_stream(self, whole: bytes, context: ssl.SSLContext | None) -> Receipt:
        message = cut(whole, STREAM_BYTES)
        reader, writer = await asyncio.open_connection(
            self._settings.host,
            self._settings.port,
            ssl=context,
            ssl_shutdown_timeout=self._deadline_s if context else None,
        )
        try:
            writer.write(octet_counted(message))
            await writer.drain()
            if context is None:
                writer.write_eof()
                await _until_closed(reader)
        except BaseException:
            writer.transport.abort()
            raise
        writer.close()
        await writer.wait_closed()
        how = (
            "sent close_notify and the server closed" if context else "the server read to the end and closed"
        )
        return Receipt(False, f"Sent: {how}; syslog itself has no confirmation" + _lost(whole, message))


def _lost(whole: bytes, sent: bytes) -> str:
    return f"; cut from {len(whole)} to {len(sent)} bytes." if len(sent) < len(whole) else "."


async def _until_closed(reader: asyncio.StreamReader) -> None:
    """A collector says nothing; reading until it closes shows that it read everything (a reset raises)."""
    while await reader.read(4096):
        pass
