"""What may come into a copy that is kept without a key: objects of the format, of this repository, whole."""

from collections.abc import Callable
from typing import Final

from services.chassis.errors import InvalidInput, PermissionDenied
from services.mover.repository.format import canonical
from services.mover.repository.format.damaged import damaged
from services.mover.repository.format.envelope import parse_envelope
from services.mover.repository.format.epoch import decode_epoch_object
from services.mover.repository.format.header import parse_header
from services.mover.repository.format.lease import decode_lease, looks_like_revocation
from services.mover.repository.format.names import (
    EPOCHS,
    FEATURES,
    HEADER,
    INDEX,
    KEYS,
    LEASES,
    MAX_CLEAR_BYTES,
    MAX_OBJECT_BYTES,
    MAX_PACK_BYTES,
    PACKS,
    POINTS,
    checked_id,
    parse_numbered,
    parse_pack_name,
)
from services.mover.repository.format.pack import FOOTER_BYTES, HEADER_BYTES, PackFooter, PackHeader
from services.mover.repository.format.slot import parse_slot
from services.mover.repository.types import Bytes

_SHA256_DIGITS: Final = 64
_LEASE_DIGITS: Final = 8
_EPOCH_DIGITS: Final = 8
_FEATURE_BYTES: Final = 16
_LARGEST: Final = {
    HEADER: MAX_CLEAR_BYTES,
    FEATURES: _FEATURE_BYTES,
    KEYS: MAX_CLEAR_BYTES,
    EPOCHS: MAX_CLEAR_BYTES,
    PACKS: MAX_PACK_BYTES,
    INDEX: MAX_OBJECT_BYTES,
    POINTS: MAX_OBJECT_BYTES,
    LEASES: MAX_CLEAR_BYTES,
}


def kind_of(name: str) -> str:
    """The folder of an object that may be sent; raises PermissionDenied for any other name."""
    folder = name if name == HEADER else name.partition("/")[0] + "/"
    if folder not in _LARGEST or not _NAMED[folder](name):
        raise PermissionDenied(
            f"An object {name[:200]!r} is not taken into a copy.",
            reason="REPLICA_NAME_REFUSED",
            hint="Plans, the trash, damage records and other files are each place's own.",
        )
    return folder


def require_size(name: str, size: int) -> None:
    """Raises InvalidInput when no object of this name is of this size, PermissionDenied for its name."""
    if not 0 < size <= _LARGEST[kind_of(name)]:
        raise InvalidInput(
            f"{name} cannot have {size} bytes.",
            reason="REPLICA_OBJECT_IMPOSSIBLE",
            hint="Verify the repository it comes from.",
        )


def require_whole(name: str, data: Bytes, sha256: bytes, repository_id: bytes) -> None:
    """Raises DataLoss when the bytes are not an object of this name of the repository; needs no key.

    ``sha256`` is that of ``data``.
    """
    require_size(name, len(data))
    kind = kind_of(name)
    if kind in (PACKS, INDEX) and sha256.hex() != name.rpartition("/")[2]:
        raise damaged(name, "its content is not what its name says")
    owner = _owner_of_pack(name, data) if kind == PACKS else _owner(kind, name, bytes(data))
    if owner not in (None, repository_id):
        raise damaged(name, "it belongs to another repository")


def _owner_of_pack(name: str, data: Bytes) -> bytes:
    parsed = parse_pack_name(name)
    header = PackHeader.decode(bytes(data[:HEADER_BYTES]), name)
    PackFooter.decode(bytes(data[-FOOTER_BYTES:]), len(data), name)
    if parsed is None or parsed[0] != header.kind:
        raise damaged(name, "it is a pack of another kind")
    return header.repository_id


def _owner(kind: str, name: str, data: bytes) -> bytes | None:
    """Id of the repository an object that is no pack says it belongs to, once it is seen to be of its kind.

    None when such an object does not say.
    """
    if kind == FEATURES:
        return None
    if kind == EPOCHS:
        decode_epoch_object(data, name)
        return None
    if kind == LEASES:
        parsed = parse_numbered(name, LEASES, _LEASE_DIGITS)
        if parsed is None or decode_lease(data, name).point_id != parsed[0]:
            raise damaged(name, "it is the lease of another point")
        return None
    if kind == POINTS and looks_like_revocation(data):
        raise damaged(name, "it is a revocation, which is no point")
    if kind in (INDEX, POINTS):
        return parse_envelope(data, "index" if kind == INDEX else "point", name).repository_id
    if kind == KEYS:
        return parse_slot(data, name.removeprefix(KEYS)).header.header.repository_id
    return parse_header(canonical.decode_clear(data, name)).header.repository_id


def _numbered(name: str, prefix: str, digits: int) -> bool:
    tail = name.removeprefix(prefix)
    return len(tail) == digits and tail.isascii() and tail.isdecimal()


def _is_id(text: str) -> bool:
    try:
        checked_id(text, "name")
    except InvalidInput:
        return False
    return True


def _is_feature(name: str) -> bool:
    kind, dot, flag = name.removeprefix(FEATURES).partition(".")
    return kind in ("mandatory", "writer", "optional") and bool(dot) and _is_id(flag)


def _is_sha256(text: str) -> bool:
    return len(text) == _SHA256_DIGITS and set(text) <= set("0123456789abcdef")


_NAMED: Final[dict[str, Callable[[str], bool]]] = {
    HEADER: lambda _: True,
    FEATURES: _is_feature,
    KEYS: lambda name: _is_id(name.removeprefix(KEYS)),
    EPOCHS: lambda name: _numbered(name, EPOCHS, _EPOCH_DIGITS),
    PACKS: lambda name: parse_pack_name(name) is not None,
    INDEX: lambda name: _is_sha256(name.removeprefix(INDEX)),
    POINTS: lambda name: _is_id(name.removeprefix(POINTS)),
    LEASES: lambda name: parse_numbered(name, LEASES, _LEASE_DIGITS) is not None,
}
