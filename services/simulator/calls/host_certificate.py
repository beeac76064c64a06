"""The certificate that a host shows (xapi: ocaml/xapi/certificates.ml)."""

import asyncio

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from services.simulator.dispatch.call import Call
from services.simulator.failure import XapiFailure
from services.simulator.pool.certificates import store_certificate

_KEY_SIZES = (2048, 3072, 4096)


async def install(call: Call, host: str, certificate: str, private_key: str, chain: str) -> None:
    """PEM, with a key of RSA. Raises ``SERVER_CERTIFICATE_KEY_INVALID``, ``SERVER_CERTIFICATE_INVALID``,
    ``SERVER_CERTIFICATE_KEY_MISMATCH``, ``SERVER_CERTIFICATE_EXPIRED``, ``SERVER_CERTIFICATE_CHAIN_INVALID``.
    """
    there = call.pool.hosts[call.db.row("host", host).ref]
    key, shown = _key(private_key), _certificate(certificate, "SERVER_CERTIFICATE_INVALID")
    if shown.public_key() != key.public_key():
        raise XapiFailure("SERVER_CERTIFICATE_KEY_MISMATCH")
    if shown.not_valid_after_utc < call.pool.clock.now():
        raise XapiFailure("SERVER_CERTIFICATE_EXPIRED", str(call.pool.now()), str(shown.not_valid_after_utc))
    if chain:
        _certificate(chain, "SERVER_CERTIFICATE_CHAIN_INVALID")
    new = await asyncio.to_thread(store_certificate, there.certificate.path, shown, key, chain.encode())
    call.pool.use_certificate(there, new)


async def renew(call: Call, host: str) -> None:
    """One that the host makes itself, in place of whatever it showed."""
    await call.pool.replace_certificate(call.pool.hosts[call.db.row("host", host).ref])


async def renew_here(call: Call) -> None:
    """Of the host that is asked."""
    await call.pool.replace_certificate(call.host)


def _key(text: str) -> rsa.RSAPrivateKey:
    try:
        key = serialization.load_pem_private_key(text.encode(), password=None)
    except (ValueError, TypeError) as error:
        raise XapiFailure("SERVER_CERTIFICATE_KEY_INVALID") from error
    if not isinstance(key, rsa.RSAPrivateKey):
        raise XapiFailure("SERVER_CERTIFICATE_KEY_ALGORITHM_NOT_SUPPORTED", "")
    if key.key_size not in _KEY_SIZES:
        raise XapiFailure("SERVER_CERTIFICATE_KEY_RSA_LENGTH_NOT_SUPPORTED", str(key.key_size))
    return key


def _certificate(text: str, code: str) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(text.encode())
    except ValueError as error:
        raise XapiFailure(code) from error
