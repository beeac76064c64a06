"""Failures of a connection, in the words of the error tree, with a bound on time."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.chassis.errors import Unavailable
from services.notifier.domain.text import one_line

SAID_CHARACTERS = 200


def said(text: str | bytes) -> str:
    """What a peer said, made harmless: one line, at most 200 characters."""
    return one_line(text.decode("utf-8", "replace") if isinstance(text, bytes) else text, SAID_CHARACTERS)


@asynccontextmanager
async def talking_to(peer: str, seconds: float) -> AsyncIterator[None]:
    """Everything inside together takes at most `seconds`; raises `Unavailable` for what the network does."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise Unavailable(
            f"{peer} did not answer within {seconds:g} s.",
            reason="PEER_TIMEOUT",
            hint="Check that the address and port are right and that no firewall drops the connection.",
        ) from error
    except ssl.SSLCertVerificationError as error:
        raise Unavailable(
            f"{peer} shows a certificate that is not trusted: {said(error.verify_message)}.",
            reason="PEER_NOT_TRUSTED",
            hint="Give the channel the certificate of its authority, and the host name it is made out to.",
        ) from error
    except (OSError, EOFError) as error:
        raise Unavailable(
            f"{peer} cannot be reached or broke the connection: {said(str(error) or type(error).__name__)}.",
            reason="PEER_UNREACHABLE",
            hint="Check that the service runs there and speaks the protocol and TLS mode of this channel.",
        ) from error
