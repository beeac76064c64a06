"""Facts, as they happen: a live tail of the event stream.

An event is the JSON form of a protobuf message; its type is the message's full name and also its subject. No
stub is needed to read one.
"""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import nats.errors
from nats.aio.client import Client
from nats.js.api import ConsumerConfig, DeliverPolicy

from xenkeep.errors import Error
from xenkeep.home import Home

STREAM = "XENKEEP_EVENTS"
CONNECT_SECONDS = 5.0


@dataclass(frozen=True)
class Event:
    """``time`` is RFC 3339 in UTC; ``data`` the message as JSON; ``source`` the service that says so."""

    type: str
    id: str
    source: str
    subject: str
    time: str
    data: dict[str, Any]


async def tail(
    home: Home, types: str = "xenkeep.*.v1.>", *, since_start: bool = False, identity: str = "admin"
) -> AsyncIterator[Event]:
    """Yield events whose type matches ``types`` (a NATS subject pattern) from now on, for ever.

    ``since_start`` begins with the oldest event kept. Raises Error Unavailable when NATS cannot be reached.
    """
    connection = await _connected(home, identity)
    try:
        policy = DeliverPolicy.ALL if since_start else DeliverPolicy.NEW
        subscription = await connection.jetstream().subscribe(
            types, stream=STREAM, ordered_consumer=True, config=ConsumerConfig(deliver_policy=policy)
        )
        async for message in subscription.messages:
            headers = message.headers or {}
            yield Event(
                type=message.subject,
                id=headers.get("ce-id", ""),
                source=headers.get("ce-source", ""),
                subject=headers.get("ce-subject", ""),
                time=headers.get("ce-time", ""),
                data=json.loads(message.data),
            )
    finally:
        await connection.close()


async def _connected(home: Home, identity: str) -> Client:
    """Once connected, the client tries again for ever; the first time it is said why it cannot."""
    why = "no answer"

    async def note(error: Exception) -> None:
        nonlocal why
        why = str(error) or why

    client = Client()
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            await client.connect(
                home.nats_url,
                tls=_context(home, identity),
                tls_handshake_first=True,
                error_cb=note,
                max_reconnect_attempts=-1,
            )
    except (TimeoutError, OSError, nats.errors.Error) as error:
        await client.close()
        raise Error(
            "Unavailable",
            "NATS_UNREACHABLE",
            f"NATS at {home.nats_url} does not answer: {str(error) or why}.",
            "Start it with `xenkeep up`.",
        ) from None
    return client


def _context(home: Home, identity: str) -> ssl.SSLContext:
    ca, certificate, key = home.certificate(identity)
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    return context
