"""Derivations and the AEAD, in the words of docs/repository-format.md section 2."""

import hmac

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from services.mover.repository.format.damaged import damaged

KEY_BYTES = 32
TAG_BYTES = 16
ZERO_NONCE = bytes(12)


def hkdf(ikm: bytes, salt: bytes, info: bytes, length: int = KEY_BYTES) -> bytes:
    """RFC 5869 with SHA-256."""
    return HKDF(algorithm=SHA256(), length=length, salt=salt, info=info).derive(ikm)


def key_and_commitment(ikm: bytes, salt: bytes, info: bytes) -> tuple[bytes, bytes]:
    """A key and a public value that no other key shares (AES-GCM alone does not commit to its key)."""
    both = hkdf(ikm, salt, info, 2 * KEY_BYTES)
    return both[:KEY_BYTES], both[KEY_BYTES:]


def hmac_sha256(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, "sha256")


def same(left: bytes, right: bytes) -> bool:
    """Comparison in constant time."""
    return hmac.compare_digest(left, right)


def seal(key: bytes, nonce: bytes, plain: bytes, aad: bytes) -> bytes:
    return AESGCM(key).encrypt(nonce, plain, aad)


def unseal(key: bytes, nonce: bytes, sealed: bytes, aad: bytes, what: str) -> bytes:
    """The plaintext; raises DataLoss naming ``what`` when any bit is not as sealed."""
    try:
        return AESGCM(key).decrypt(nonce, sealed, aad)
    except (InvalidTag, ValueError):
        raise damaged(what, "its seal is broken") from None
