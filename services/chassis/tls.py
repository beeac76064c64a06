"""Who we are and whom we trust, as gRPC and NATS want to be told. Mutual always, TLS 1.2 or newer.

gRPC's own floor is TLS 1.2 (grpc: src/core/tsi/ssl_transport_security.cc), so only the NATS context sets one.
"""

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

import grpc

from services.chassis.errors import FailedPrecondition


class HasTls(Protocol):
    """A configuration that names the three files; BaseConfig does."""

    @property
    def tls_ca(self) -> Path: ...
    @property
    def tls_cert(self) -> Path: ...
    @property
    def tls_key(self) -> Path: ...


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files: the authority, our certificate (chain), its private key."""

    ca: Path
    cert: Path
    key: Path

    @classmethod
    def of(cls, config: HasTls) -> Self:
        return cls(config.tls_ca, config.tls_cert, config.tls_key)


def server_credentials(tls: TlsFiles) -> grpc.ServerCredentials:
    """Credentials that refuse a caller without a certificate of our authority."""
    return grpc.ssl_server_credentials(
        [(_read(tls.key), _read(tls.cert))],
        root_certificates=_read(tls.ca),
        require_client_auth=True,
    )


def channel_credentials(tls: TlsFiles) -> grpc.ChannelCredentials:
    """Credentials that show our certificate and trust only our authority."""
    return grpc.ssl_channel_credentials(_read(tls.ca), _read(tls.key), _read(tls.cert))


def nats_context(tls: TlsFiles) -> ssl.SSLContext:
    """The same for NATS; the server's name is checked."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    for file in (tls.ca, tls.cert, tls.key):
        _read(file)
    try:
        context.load_verify_locations(tls.ca)
        context.load_cert_chain(tls.cert, tls.key)
    except ssl.SSLError as error:
        raise FailedPrecondition(
            f"{tls.ca}, {tls.cert} and {tls.key} do not fit together: {error.reason or 'not PEM'}.",
            reason="TLS_FILES_INVALID",
            hint="Issue the certificate again; tls_key must be the key of tls_cert, tls_ca its authority.",
        ) from error
    return context


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise FailedPrecondition(
            f"{path} cannot be read: {error.strerror}.",
            reason="TLS_FILE_UNREADABLE",
            hint="Check XENKEEP_TLS_CA, XENKEEP_TLS_CERT, XENKEEP_TLS_KEY and the files' owner.",
            metadata={"file": str(path)},
        ) from error
