"""Until when certificates are good: those that services show, and those in the home folder."""

import socket
import ssl
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509

from xenkeep.errors import Error
from xenkeep.home import SERVICES, Home

NOTICE = timedelta(days=30)
"""Whoever looks is told of certificates that end within so much time."""


def ends(home: Home, identity: str = "admin") -> dict[str, datetime | None]:
    """When certificates end: of services and NATS as shown now (None: not reached), of ``identity`` and
    ``authority`` as in their files.

    Raises Error Unauthenticated CERTIFICATE_MISSING when ours cannot be read.
    """
    ca, certificate, _ = home.certificate(identity)
    own = {identity: _in_file(certificate), "authority": _in_file(ca)}
    context = _context(home, identity)
    addresses = home.addresses | {"nats": home.nats_url.removeprefix("tls://")}
    return {name: _shown(addresses[name], context) for name in (*SERVICES, "nats")} | own


def ending(found: dict[str, datetime | None], now: datetime) -> dict[str, datetime]:
    """Those of ``found`` that are within NOTICE of their end, or past it."""
    return {name: end for name, end in found.items() if end is not None and end - now < NOTICE}


def _shown(address: str, context: ssl.SSLContext, timeout: float = 5.0) -> datetime | None:
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    try:
        with (
            socket.create_connection((host, int(port)), timeout) as plain,
            context.wrap_socket(plain, server_hostname=host) as connection,
        ):
            der = connection.getpeercert(binary_form=True)
    except OSError:
        return None
    return x509.load_der_x509_certificate(der).not_valid_after_utc if der else None


def _context(home: Home, identity: str) -> ssl.SSLContext:
    ca, certificate, key = home.certificate(identity)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols(["h2"])  # gRPC insists
    try:
        context.load_verify_locations(ca)
        context.load_cert_chain(certificate, key)
    except OSError as error:  # SSLError is one
        raise _unusable(certificate, str(error)) from None
    return context


def _in_file(path: Path) -> datetime:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc
    except OSError as error:
        raise _unusable(path, error.strerror or "unreadable") from None
    except ValueError:
        raise _unusable(path, "it is no certificate") from None


def _unusable(path: Path, why: str) -> Error:
    return Error(
        "Unauthenticated",
        "CERTIFICATE_MISSING",
        f"{path} and its key cannot be used: {why}.",
        "Make them with `xenkeep init`, or copy the home folder from where it was made.",
    )
