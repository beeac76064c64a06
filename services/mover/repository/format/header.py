"""The repository header (docs/repository-format.md, section 4)."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from services.chassis.errors import FailedPrecondition, InvalidInput
from services.mover.repository.format import canonical
from services.mover.repository.format.crypto import hkdf, hmac_sha256, same
from services.mover.repository.format.damaged import damaged
from services.mover.repository.format.names import (
    BLOCK_BYTES,
    FEATURES,
    FORMAT_VERSION,
    HEADER,
    MAX_BLOB_BYTES,
    MAX_PACK_BYTES,
)

_FORMAT: Final = "xenkeep-repository"
KNOWN_FEATURES: Final = {"mandatory": frozenset[str](), "writer": frozenset({"prune"})}
"""By what not knowing them means; optional ones need not be known."""
DEFAULT_CHUNK_BYTES: Final = 1 << 20
DEFAULT_PACK_BYTES: Final = 32 << 20


@dataclass(frozen=True, slots=True)
class Header:
    """What a repository is. Sizes in bytes; ``created_time`` RFC 3339."""

    repository_id: bytes
    chunk_bytes: int
    pack_bytes: int
    created_time: str
    mandatory: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    writer: tuple[str, ...] = ()

    @property
    def blocks_per_chunk(self) -> int:
        return self.chunk_bytes // BLOCK_BYTES

    def to_json(self, root: bytes) -> dict[str, Any]:
        """The authenticated JSON object; ``root`` is the first root key."""
        plain = {
            "block_bytes": BLOCK_BYTES,
            "chunk_bytes": self.chunk_bytes,
            "created_time": self.created_time,
            "features": {
                "mandatory": list(self.mandatory),
                "optional": list(self.optional),
                "writer": list(self.writer),
            },
            "format": _FORMAT,
            "id": self.repository_id.hex(),
            "pack_bytes": self.pack_bytes,
            "version": FORMAT_VERSION,
        }
        return plain | {"mac": _mac(plain, root, self.repository_id).hex()}


def checked_parameters(chunk_bytes: int, pack_bytes: int) -> None:
    """Raises InvalidInput naming the parameter that no repository may have."""
    power_of_two = chunk_bytes > 0 and chunk_bytes & (chunk_bytes - 1) == 0
    if not power_of_two or not BLOCK_BYTES <= chunk_bytes <= MAX_BLOB_BYTES:
        raise InvalidInput(
            f"A chunk cannot be {chunk_bytes} bytes.",
            reason="BAD_CHUNK_BYTES",
            hint="Use a power of two from 65536 to 4194304; 1048576 suits most.",
        )
    if not chunk_bytes <= pack_bytes <= MAX_PACK_BYTES // 2:
        raise InvalidInput(
            f"A pack cannot be {pack_bytes} bytes.",
            reason="BAD_PACK_BYTES",
            hint=f"Use from one chunk to {MAX_PACK_BYTES // 2}; {DEFAULT_PACK_BYTES} suits most.",
        )


@dataclass(frozen=True, slots=True)
class UnprovenHeader:
    """A header as read: its version and features are checked, its MAC is not yet."""

    header: Header
    json: dict[str, Any]

    def proven(self, root: bytes) -> Header:
        """The header; raises DataLoss when somebody changed it after creation."""
        plain = {key: value for key, value in self.json.items() if key != "mac"}
        mac = canonical.Fields(self.json, HEADER).raw("mac", 32)
        if not same(mac, _mac(plain, root, self.header.repository_id)):
            raise damaged(HEADER, "it is not as it was written at creation")
        return self.header


def parse_header(value: dict[str, Any], what: str = HEADER) -> UnprovenHeader:
    """Raises FailedPrecondition for a repository of the future, DataLoss naming ``what`` for damage."""
    fields = canonical.Fields(value, what)
    if fields.text("format") != _FORMAT:
        raise damaged(what, "it is not a repository header")
    version = fields.number("version")
    if version != FORMAT_VERSION:
        raise FailedPrecondition(
            f"The repository has format version {version}; this release knows version {FORMAT_VERSION}.",
            reason="REPOSITORY_OF_THE_FUTURE",
            hint="Open it with the release that made it, or a later one.",
        )
    features = fields.inner("features")
    mandatory = tuple(features.texts("mandatory"))
    refuse_unknown_features("mandatory", mandatory)
    header = Header(
        fields.raw("id", 16),
        fields.number("chunk_bytes"),
        fields.number("pack_bytes"),
        fields.text("created_time"),
        mandatory,
        tuple(features.texts("optional")),
        tuple(features.texts("writer")),
    )
    try:
        checked_parameters(header.chunk_bytes, header.pack_bytes)
    except InvalidInput as error:
        raise damaged(what, error.message.rstrip(".")) from None
    if fields.number("block_bytes") != BLOCK_BYTES:
        raise damaged(what, "its blocks are not of 65536 bytes")
    return UnprovenHeader(header, value)


def features_from_names(names: list[str], kind: str) -> tuple[str, ...]:
    """The flags of a kind (``mandatory``, ``writer``, ``optional``) among the objects under ``features/``."""
    prefix = f"{FEATURES}{kind}."
    return tuple(name.removeprefix(prefix) for name in names if name.startswith(prefix))


def refuse_unknown_features(kind: str, flags: Iterable[str]) -> None:
    """Raises FailedPrecondition when this release must not open (``mandatory``) or change (``writer``) it."""
    unknown = sorted(set(flags) - KNOWN_FEATURES[kind])
    verb = "open" if kind == "mandatory" else "write to"
    if unknown:
        raise FailedPrecondition(
            f"To {verb} this repository takes features this release does not know: {', '.join(unknown)}.",
            reason="REPOSITORY_FEATURE_UNKNOWN",
            hint="Use a release that knows them.",
        )


def _mac(plain: dict[str, Any], root: bytes, repository_id: bytes) -> bytes:
    return hmac_sha256(hkdf(root, repository_id, b"xenkeep/1 header mac"), canonical.encode(plain))
