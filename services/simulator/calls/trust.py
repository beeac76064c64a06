"""Authorities that a pool trusts, and what they revoked (xapi: ocaml/xapi/certificates.ml)."""

import re

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from services.simulator.database.row import Row
from services.simulator.dispatch.call import Call
from services.simulator.failure import XapiFailure
from services.simulator.wire.datetimes import DateTime

_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")


async def install(call: Call, name: str, pem: str) -> None:
    """Raises ``CERTIFICATE_NAME_INVALID``, ``CERTIFICATE_CORRUPT``, ``CERTIFICATE_ALREADY_EXISTS``."""
    if not _NAME.fullmatch(name):
        raise XapiFailure("CERTIFICATE_NAME_INVALID", name)
    try:
        shown = x509.load_pem_x509_certificate(pem.encode())
    except ValueError as error:
        raise XapiFailure("CERTIFICATE_CORRUPT", name) from error
    if _find(call, name) is not None:
        raise XapiFailure("CERTIFICATE_ALREADY_EXISTS", name)
    call.pool.create(
        "Certificate",
        type="ca",
        name=name,
        fingerprint=shown.fingerprint(hashes.SHA256()).hex(":").upper(),
        not_before=DateTime.of(shown.not_valid_before_utc),
        not_after=DateTime.of(shown.not_valid_after_utc),
    )


async def uninstall(call: Call, name: str, force: bool = False) -> None:
    """Raises ``CERTIFICATE_DOES_NOT_EXIST`` unless ``force``."""
    found = _find(call, name)
    if found is not None:
        call.db.delete("Certificate", found.ref)
    elif not force:
        raise XapiFailure("CERTIFICATE_DOES_NOT_EXIST", name)


async def install_trusted(call: Call, pool: str, ca: bool, pem: str, purpose: list[str]) -> None:
    """Of an authority, or pinned as it is, for some purposes or for all. Raises
    ``TRUSTED_CERTIFICATE_INVALID``, ``..._EXPIRED``, ``..._NOT_VALID_YET``, ``..._ALREADY_EXISTS``.
    """
    call.db.row("pool", pool)
    try:
        shown = x509.load_pem_x509_certificate(pem.encode())
    except ValueError as error:
        raise XapiFailure("TRUSTED_CERTIFICATE_INVALID") from error
    begin, end = DateTime.of(shown.not_valid_before_utc), DateTime.of(shown.not_valid_after_utc)
    now = call.pool.now()
    if now < begin:
        raise XapiFailure("TRUSTED_CERTIFICATE_NOT_VALID_YET", now, begin)
    if end < now:
        raise XapiFailure("TRUSTED_CERTIFICATE_EXPIRED", now, end)
    fingerprint = shown.fingerprint(hashes.SHA256()).hex(":").upper()
    type_ = "ca" if ca else "pinned"
    known = (row for row in call.db.rows("Certificate") if row["type"] == type_)
    if any(row["fingerprint_sha256"] == fingerprint for row in known):
        raise XapiFailure("TRUSTED_CERTIFICATE_ALREADY_EXISTS", fingerprint)
    call.pool.create(
        "Certificate",
        type=type_,
        purpose=purpose,
        fingerprint=fingerprint,
        fingerprint_sha256=fingerprint,
        fingerprint_sha1=shown.fingerprint(hashes.SHA1()).hex(":").upper(),  # noqa: S303 - what xapi tells
        not_before=begin,
        not_after=end,
    )


async def uninstall_trusted(call: Call, pool: str, ref: str) -> None:
    """Raises ``NOT_TRUSTED_CERTIFICATE`` for that of a host."""
    call.db.row("pool", pool)
    if call.db.row("Certificate", ref)["type"] not in ("ca", "pinned"):
        raise XapiFailure("NOT_TRUSTED_CERTIFICATE", ref)
    call.db.delete("Certificate", ref)


async def names(call: Call) -> list[str]:
    rows = call.db.rows("Certificate") if "Certificate" in call.db.tables else []
    return sorted(row["name"] for row in rows if row["type"] == "ca")


async def install_crl(call: Call, name: str, pem: str) -> None:
    """Raises ``CRL_NAME_INVALID``, ``CRL_CORRUPT``, ``CRL_ALREADY_EXISTS``."""
    if not _NAME.fullmatch(name):
        raise XapiFailure("CRL_NAME_INVALID", name)
    try:
        x509.load_pem_x509_crl(pem.encode())
    except ValueError as error:
        raise XapiFailure("CRL_CORRUPT", name) from error
    if name in call.pool.revocation_lists:
        raise XapiFailure("CRL_ALREADY_EXISTS", name)
    call.pool.revocation_lists.add(name)


async def uninstall_crl(call: Call, name: str) -> None:
    """Raises ``CRL_DOES_NOT_EXIST``."""
    if name not in call.pool.revocation_lists:
        raise XapiFailure("CRL_DOES_NOT_EXIST", name)
    call.pool.revocation_lists.discard(name)


async def crl_names(call: Call) -> list[str]:
    return sorted(call.pool.revocation_lists)


async def sync(call: Call) -> None:
    """Every host has them at once."""


async def enable_client_auth(call: Call, pool: str, name: str) -> None:
    """Clients may show a certificate for ``name``; no listener here asks for it."""
    call.db.update("pool", pool, client_certificate_auth_enabled=True, client_certificate_auth_name=name)


async def disable_client_auth(call: Call, pool: str) -> None:
    call.db.update("pool", pool, client_certificate_auth_enabled=False, client_certificate_auth_name="")


def _find(call: Call, name: str) -> Row | None:
    rows = (row for row in call.db.rows("Certificate") if row["type"] == "ca")
    return next((row for row in rows if row["name"] == name), None)
