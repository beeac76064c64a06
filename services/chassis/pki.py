"""A small certificate authority: enough for mutual TLS between our own services, NATS included.

A directory holds ``ca.pem`` and ``ca.key``, and per service ``<name>.pem`` and ``<name>.key``; all PEM, mode
0600, EC P-256. Keys are made once and never replaced, so a certificate always fits the key beside it: killed
between the two files, the next run makes the certificate from the key it finds.
"""

import ipaddress
import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from services.chassis import files
from services.chassis.clock import Clock, SystemClock
from services.chassis.errors import DataLoss, FailedPrecondition, InvalidInput

AUTHORITY_LIFE = timedelta(days=3650)
CERTIFICATE_LIFE = timedelta(days=825)
RENEW_BEFORE = timedelta(days=60)
_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")
_SKEW = timedelta(minutes=5)


def create_authority(directory: Path, clock: Clock | None = None) -> Path:
    """Make the authority unless there is one, never over another; returns the path of ``ca.pem``."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    certificate = directory / "ca.pem"
    if certificate.exists():
        _read_certificate(certificate)
        return certificate
    key = _key_at(directory / "ca.key")
    now = (clock or SystemClock()).now()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Xenkeep authority")])
    builder = _builder(name, name, key.public_key(), now, AUTHORITY_LIFE)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage(authority=True), critical=True)
    files.write_new(certificate, _pem(builder.sign(key, hashes.SHA256())))
    return certificate


def issue(
    directory: Path,
    name: str,
    hosts: Iterable[str] = (),
    clock: Clock | None = None,
    *,
    renew: bool = False,
) -> tuple[Path, Path]:
    """Certificate and key of service ``name``, reachable at ``hosts`` (DNS names, addresses) and localhost.

    Made only when missing, when it does not cover ``hosts``, when it expires within RENEW_BEFORE, or when
    ``renew`` asks for it; it covers what the one before did as well. Raises InvalidInput
    SERVICE_NAME_INVALID, FailedPrecondition AUTHORITY_MISSING.
    """
    if not _NAME.fullmatch(name) or name == "ca":
        raise InvalidInput(
            f"{name!r} cannot be a service's name.",
            reason="SERVICE_NAME_INVALID",
            hint="Use up to 63 lower-case letters, digits and dashes, starting with a letter; not 'ca'.",
        )
    authority_path, authority_key_path = directory / "ca.pem", directory / "ca.key"
    if not (authority_path.exists() and authority_key_path.exists()):
        raise FailedPrecondition(
            f"There is no authority in {directory} to sign the certificate of {name}.",
            reason="AUTHORITY_MISSING",
            hint="Create the authority first, or issue on the machine that keeps ca.key.",
        )
    authority = _read_certificate(authority_path)
    certificate_path, key_path = directory / f"{name}.pem", directory / f"{name}.key"
    key = _key_at(key_path)
    names = _alternative_names(name, hosts)
    now = (clock or SystemClock()).now()
    if certificate_path.exists():
        if not renew and _still_good(certificate_path, authority, key, names, now):
            return certificate_path, key_path
        names = list(dict.fromkeys([*names, *_covered(certificate_path)]))
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    life = min(CERTIFICATE_LIFE, authority.not_valid_after_utc - now)
    builder = _builder(subject, authority.subject, key.public_key(), now, life)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_usage(authority=False), critical=True)
    builder = builder.add_extension(
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
        critical=False,
    )
    builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    files.replace(certificate_path, _pem(builder.sign(_key_at(authority_key_path), hashes.SHA256())))
    return certificate_path, key_path


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, life: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder(subject_name=subject, issuer_name=issuer, public_key=key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + life)
    )


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _alternative_names(name: str, hosts: Iterable[str]) -> list[x509.GeneralName]:
    wanted = dict.fromkeys([*hosts, name, "localhost", "127.0.0.1"])
    return [_general_name(host) for host in wanted] + [
        x509.UniformResourceIdentifier(f"xenkeep://service/{name}")
    ]


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _covered(path: Path) -> list[x509.GeneralName]:
    """What a certificate was issued for: whoever asks for another does not know all the names any more."""
    try:
        return list(
            _read_certificate(path).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        )
    except x509.ExtensionNotFound:
        return []


def _still_good(
    path: Path,
    authority: x509.Certificate,
    key: ec.EllipticCurvePrivateKey,
    names: list[x509.GeneralName],
    now: datetime,
) -> bool:
    certificate = _read_certificate(path)
    try:
        certificate.verify_directly_issued_by(authority)
        covered = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False
    return (
        certificate.public_key() == key.public_key()
        and certificate.not_valid_after_utc - now > RENEW_BEFORE
        and set(names) <= set(covered)
    )


def _key_at(path: Path) -> ec.EllipticCurvePrivateKey:
    if not path.exists():
        fresh = ec.generate_private_key(ec.SECP256R1())
        files.write_new(
            path,
            fresh.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            ),
        )
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError) as error:
        raise _damaged(path) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise _damaged(path)
    return key


def _read_certificate(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except ValueError as error:
        raise _damaged(path) from error


def _damaged(path: Path) -> DataLoss:
    return DataLoss(
        f"{path} is not what the authority wrote there.",
        reason="PKI_FILE_DAMAGED",
        hint="Restore it from a copy, or remove it together with its neighbour and issue again.",
        metadata={"file": str(path)},
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
