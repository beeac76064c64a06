"""Who we are and whom we trust, as gRPC and NATS want to be told. Mutual always, TLS 1.2 or newer.

Certificates are renewed while we run: whoever makes a connection asks for what the files hold then.

gRPC's own floor is TLS 1.2 (grpc: src/core/tsi/ssl_transport_security.cc), so only the NATS context sets one.
"""

import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self, cast

import grpc
import structlog

from services.chassis.errors import FailedPrecondition

_log = structlog.get_logger("xenkeep.tls")
State = tuple[tuple[int, int, int], ...]


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

    def state(self) -> State:
        """Differs as soon as one of the files is another or is gone."""
        found = []
        for file in (self.ca, self.cert, self.key):
            with suppress(OSError):
                status = file.stat()
                found.append((status.st_ino, status.st_mtime_ns, status.st_size))
        return tuple(found)


class Renewals:
    """Watches the files of a certificate; one that cannot be used is logged once and not taken."""

    def __init__(self, tls: TlsFiles) -> None:
        self._tls = tls
        self._seen = tls.state()

    def renewed(self) -> bool:
        """Whether there is another certificate than the last time, and one that can be used."""
        state = self._tls.state()
        if state == self._seen:
            return False
        self._seen = state
        try:
            nats_context(self._tls)
        except FailedPrecondition as error:
            _log.warning("renewed certificate cannot be used; the old one is kept", error=str(error))
            return False
        _log.info("certificate renewed", file=str(self._tls.cert))
        return True


def server_credentials(tls: TlsFiles) -> grpc.ServerCredentials:
    """Credentials that refuse a caller without a certificate of our authority. A renewed certificate is
    shown from then on.
    """
    renewals = Renewals(tls)

    def configuration() -> grpc.ServerCertificateConfiguration:
        return grpc.ssl_server_certificate_configuration(
            [(_read(tls.key), _read(tls.cert))], root_certificates=_read(tls.ca)
        )

    def fetch() -> grpc.ServerCertificateConfiguration | None:
        return configuration() if renewals.renewed() else None

    # grpc documents None as "the same as before"; its types do not know.
    fetcher = cast("Callable[[], grpc.ServerCertificateConfiguration]", fetch)
    return grpc.dynamic_ssl_server_credentials(configuration(), fetcher, require_client_authentication=True)


def channel_credentials(tls: TlsFiles) -> grpc.ChannelCredentials:
    """Credentials that show our certificate and trust only our authority."""
    return grpc.ssl_channel_credentials(_read(tls.ca), _read(tls.key), _read(tls.cert))


def nats_context(tls: TlsFiles) -> ssl.SSLContext:
    """The same for NATS; the server's name is checked. Raises FailedPrecondition for unusable files."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    load_into(context, tls)
    return context


def load_into(context: ssl.SSLContext, tls: TlsFiles) -> None:
    """Have connections made from now on by ``context`` show the certificate that the files hold."""
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
