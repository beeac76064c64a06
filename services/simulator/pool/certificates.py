"""Certificates of hosts: self-signed, RSA-2048, ten years; one that a host shows its clients, and since 1.294
one that it shows whoever asks for ``xapi:pool`` (xapi: ocaml/gencert, ocaml/xapi/helpers.ml ``Stunnel``).
"""

import ipaddress
import ssl
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

_LIFETIME = timedelta(days=3650)
INTERNAL_NAME = "xapi:pool"
"""The name (SNI) by which hosts ask each other for the other certificate."""


@dataclass(frozen=True)
class HostCertificate:
    """``path`` holds key and certificate (mode 0600); ``pem`` is the certificate alone."""

    path: Path
    pem: str
    fingerprint: str
    not_before: datetime
    not_after: datetime

    def server_context(self, internal: "HostCertificate | None" = None) -> ssl.SSLContext:
        """TLS 1.2 or newer, as a XenServer host offers. ``internal`` is for who asks for ``xapi:pool``."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self.path)
        if internal is not None:
            other = internal.server_context()

            def choose(connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
                if name == INTERNAL_NAME:
                    connection.context = other

            context.sni_callback = choose
        return context


def make_certificate(
    path: Path, hostname: str, address: str, now: datetime, *, vouches_for_address: bool = True
) -> HostCertificate:
    """Make and store a certificate of a host's name and of its address, which is the common name; or, as
    those of older releases, of the name alone.
    """
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    common = address if vouches_for_address else hostname
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])
    names: list[x509.GeneralName] = [x509.DNSName(hostname)]
    if vouches_for_address:
        names.append(x509.IPAddress(ipaddress.ip_address(address)))
    builder = _builder(name, key, now).add_extension(x509.SubjectAlternativeName(names), critical=False)
    return store_certificate(path, builder.sign(key, hashes.SHA256()), key)


def make_internal_certificate(
    path: Path, certificate: HostCertificate, uuid: str, now: datetime
) -> HostCertificate:
    """Of the host's uuid alone. It has the key of the other certificate, where a host makes another: keys
    take their time.
    """
    key = serialization.load_pem_private_key(certificate.path.read_bytes(), password=None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise TypeError(f"{certificate.path} holds no RSA key")
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, uuid)])
    return store_certificate(path, _builder(name, key, now).sign(key, hashes.SHA256()), key)


def _builder(name: x509.Name, key: rsa.RSAPrivateKey, now: datetime) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + _LIFETIME)
    )


def store_certificate(
    path: Path, certificate: x509.Certificate, key: rsa.RSAPrivateKey, chain: bytes = b""
) -> HostCertificate:
    """Put a certificate and its key in place of what ``path`` held; ``chain`` is PEM that vouches for it."""
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write_secret(path, (secret + pem + chain).decode())
    return load_certificate(path)


def write_secret(path: Path, text: str) -> None:
    """For its owner alone; a file that is there is replaced as a whole."""
    draft = path.with_suffix(".draft")
    draft.touch(mode=0o600)
    draft.write_text(text, "ascii")
    draft.replace(path)


def load_certificate(path: Path) -> HostCertificate:
    """What ``store_certificate`` stored. Raises ``ValueError`` for text of another form."""
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    return HostCertificate(
        path,
        certificate.public_bytes(serialization.Encoding.PEM).decode(),
        certificate.fingerprint(hashes.SHA256()).hex(":").upper(),
        certificate.not_valid_before_utc,
        certificate.not_valid_after_utc,
    )
