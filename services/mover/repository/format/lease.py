"""Leases of writers, and revocations (docs/repository-format.md, section 15)."""

from dataclasses import dataclass
from typing import Final

from services.mover.repository.format import canonical
from services.mover.repository.format.crypto import hmac_sha256, same
from services.mover.repository.format.damaged import damaged
from services.mover.repository.format.names import FORMAT_VERSION

_FORMAT: Final = "xenkeep-lease"
_MAGIC: Final = b"XKREVOK1"
REVOCATION_BYTES: Final = 64


@dataclass(frozen=True, slots=True)
class Lease:
    """Somebody is making a point; ``plans`` are those it knew before. ``started_time`` is RFC 3339.

    ``writer`` is who: random, and empty in leases of earlier releases.
    """

    point_id: str
    plans: frozenset[str]
    started_time: str
    writer: str = ""

    def encode(self) -> bytes:
        return canonical.encode(
            {
                "format": _FORMAT,
                "plans": sorted(self.plans),
                "point": self.point_id,
                "started_time": self.started_time,
                "version": FORMAT_VERSION,
                "writer": self.writer,
            }
        )


def decode_lease(data: bytes, what: str) -> Lease:
    """Raises DataLoss naming ``what``."""
    fields = canonical.Fields(canonical.decode_clear(data, what), what)
    if (fields.text("format"), fields.number("version")) != (_FORMAT, FORMAT_VERSION):
        raise damaged(what, f"it is not a lease of version {FORMAT_VERSION}")
    return Lease(
        fields.text("point"),
        frozenset(fields.texts("plans")),
        fields.text("started_time"),
        fields.optional_text("writer") or "",
    )


def encode_revocation(key: bytes, repository_id: bytes, name: str) -> bytes:
    """What is put in the place of a point so that it can never be made."""
    return _MAGIC + repository_id + bytes(8) + hmac_sha256(key, name.encode())


def is_revocation(key: bytes, repository_id: bytes, name: str, data: bytes) -> bool:
    return same(encode_revocation(key, repository_id, name), data)


def looks_like_revocation(data: bytes) -> bool:
    """As much as can be seen without a key."""
    return len(data) == REVOCATION_BYTES and data.startswith(_MAGIC)
