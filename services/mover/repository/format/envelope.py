"""Sealed objects: points, index segments, checkpoints, plans (docs/repository-format.md, section 8)."""

import hashlib
import struct
from dataclasses import dataclass
from typing import Any, Final

from services.chassis.errors import ResourceExhausted
from services.mover.repository.format import canonical, zstd
from services.mover.repository.format.crypto import (
    TAG_BYTES,
    ZERO_NONCE,
    key_and_commitment,
    same,
    seal,
    unseal,
)
from services.mover.repository.format.damaged import damaged
from services.mover.repository.format.names import FORMAT_VERSION

_MAGIC: Final = b"\x89XKSL\r\n\x1a"
_HEAD: Final = struct.Struct("<8sBBBxI16s32s32sI4xQ")
_KINDS: Final = {"point": 1, "index": 2, "checkpoint": 3, "plan": 4}
_MAX_PUBLIC: Final = 1 << 20
_MAX_BODY: Final = 256 << 20
_DIGEST: Final = 32


@dataclass(frozen=True, slots=True)
class Envelope:
    """The clear part of a sealed object, its checksum proven, its seal not yet opened."""

    kind: str
    compression: int
    generation: int
    repository_id: bytes
    salt: bytes
    commitment: bytes
    body_bytes: int
    public: dict[str, Any]
    clear: bytes
    sealed: bytes

    def open(self, root: bytes, name: str, what: str) -> bytes:
        """The body; raises DataLoss naming ``what`` when it was not sealed so, under this ``name``."""
        key, commitment = _keys(root, self.salt, self.kind, self.repository_id)
        if not same(commitment, self.commitment):
            raise damaged(what, "it was sealed with another key")
        packed = unseal(key, ZERO_NONCE, self.sealed, self.clear + name.encode(), what)
        return bytes(zstd.decompress(self.compression, packed, self.body_bytes, what))


def seal_object(
    *,
    kind: str,
    name: str,
    root: bytes,
    generation: int,
    repository_id: bytes,
    salt: bytes,
    public: dict[str, Any],
    body: bytes,
) -> bytes:
    """A whole object. ``salt``: 32 fresh random bytes; ``name`` is bound, objects cannot be swapped.

    Raises ResourceExhausted when nobody could read it: it would be larger than an object may be.
    """
    key, commitment = _keys(root, salt, kind, repository_id)
    public_bytes = canonical.encode(public)
    if len(public_bytes) > _MAX_PUBLIC or len(body) > _MAX_BODY:
        raise ResourceExhausted(
            f"{name} would have {len(public_bytes)} and {len(body)} bytes, more than any object has.",
            reason="OBJECT_TOO_LARGE",
            hint="Back up fewer disks, or with a smaller description, in one restore point.",
        )
    compression, packed = zstd.compress(body)
    head = _HEAD.pack(
        _MAGIC,
        FORMAT_VERSION,
        _KINDS[kind],
        compression,
        generation,
        repository_id,
        salt,
        commitment,
        len(public_bytes),
        len(body),
    )
    clear = head + public_bytes
    whole = clear + seal(key, ZERO_NONCE, bytes(packed), clear + name.encode())
    return whole + hashlib.sha256(whole).digest()


def parse_envelope(data: bytes, kind: str, what: str) -> Envelope:
    """Checks everything that needs no key; raises DataLoss naming ``what``."""
    if len(data) < _HEAD.size + TAG_BYTES + _DIGEST or not data.startswith(_MAGIC):
        raise damaged(what, "it does not begin like a sealed object")
    if hashlib.sha256(memoryview(data)[:-_DIGEST]).digest() != data[-_DIGEST:]:
        raise damaged(what, "its checksum is wrong")
    head = _HEAD.unpack_from(data)
    _, version, code, compression, generation, repository_id, salt, commitment, public, body = head
    if _HEAD.pack(*head) != data[: _HEAD.size] or version != FORMAT_VERSION or code != _KINDS[kind]:
        raise damaged(what, f"it is not a {kind} of version {FORMAT_VERSION}")
    clear_end = _HEAD.size + public
    if public > _MAX_PUBLIC or body > _MAX_BODY or clear_end + TAG_BYTES + _DIGEST > len(data):
        raise damaged(what, "its lengths are impossible")
    return Envelope(
        kind,
        compression,
        generation,
        repository_id,
        salt,
        commitment,
        body,
        canonical.decode_clear(data[_HEAD.size : clear_end], what),
        data[:clear_end],
        data[clear_end:-_DIGEST],
    )


def _keys(root: bytes, salt: bytes, kind: str, repository_id: bytes) -> tuple[bytes, bytes]:
    return key_and_commitment(root, salt, b"xenkeep/1 object " + kind.encode() + repository_id)
