"""Object names and the limits of version 1 (docs/repository-format.md, sections 1 and 14)."""

import re
from typing import Final

from services.chassis.errors import InvalidInput

HEADER: Final = "xenkeep-repository.json"
FEATURES: Final = "features/"
KEYS: Final = "keys/"
EPOCHS: Final = "epochs/"
PACKS: Final = "packs/"
INDEX: Final = "index/"
POINTS: Final = "points/"
CHECKPOINTS: Final = "checkpoints/"
DAMAGE: Final = "damage/"
LEASES: Final = "leases/"
PLANS: Final = "prune/"
TRASH: Final = "trash/"
DELETED: Final = "deleted/"
BALLAST: Final = "reserve/ballast"
PROBES: Final = "probe-"
"""Objects of somebody who tries the place; no part of a repository."""
UNFINISHED: Final = (KEYS, EPOCHS, PROBES)
"""All that a creation that died leaves behind: whoever creates next clears it away."""
PRUNE_FEATURE: Final = "features/writer.prune"

FORMAT_VERSION: Final = 1
BLOCK_BYTES: Final = 64 << 10
MAX_BLOB_BYTES: Final = 4 << 20
MAX_PACK_BYTES: Final = 128 << 20
MAX_OBJECT_BYTES: Final = 258 << 20
"""More than the largest sealed object can be: the limits of its parts are 256 MiB and 1 MiB."""
MAX_CLEAR_BYTES: Final = 64 << 10
"""More than a header or a key slot ever is."""
MAX_BLOBS_PER_PACK: Final = 65_535
MAX_BLOBS_PER_SEGMENT: Final = 1_000_000
MAX_GROUP_BLOCKS: Final = 64
MAX_PATCHES: Final = 4
PAGE_ENTRIES: Final = 1024
MAX_PAGE_LEVEL: Final = 4
"""A disk has at most 2^47 chunks, and a page of level 4 reaches 2^50."""
MAX_DELTA_DEPTH: Final = 8
MAX_DISK_BYTES: Final = 2**63 - 1
MAX_DISKS: Final = 1024
MAX_EPOCH: Final = 99_999_999

_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,127}")
_PACK = re.compile(r"packs/(data|meta)/([0-9a-f]{2})/([0-9a-f]{64})")


def is_id(text: str) -> bool:
    """Whether ``text`` may be part of an object's name."""
    return _ID.fullmatch(text) is not None


def checked_id(text: str, what: str) -> str:
    """``text`` when it may be part of an object's name; raises InvalidInput naming ``what`` otherwise."""
    if not is_id(text):
        raise InvalidInput(
            f"The {what} {text!r} is not usable as a name.",
            reason="BAD_ID",
            hint="Use 1 to 128 of a-z, 0-9, '.', '_' and '-', starting with a letter or digit.",
        )
    return text


def pack_name(kind: str, sha256: bytes) -> str:
    digest = sha256.hex()
    return f"{PACKS}{kind}/{digest[:2]}/{digest}"


def parse_pack_name(name: str) -> tuple[str, bytes] | None:
    """Kind and SHA-256 of a pack's name; None when the name is not a pack's."""
    match = _PACK.fullmatch(name)
    if match is None or match[2] != match[3][:2]:
        return None
    return match[1], bytes.fromhex(match[3])


def segment_name(sha256: bytes) -> str:
    return f"{INDEX}{sha256.hex()}"


def point_name(point_id: str) -> str:
    return POINTS + checked_id(point_id, "point id")


def slot_name(slot_id: str) -> str:
    return KEYS + checked_id(slot_id, "key slot id")


def epoch_name(epoch: int) -> str:
    return f"{EPOCHS}{epoch:08d}"


def checkpoint_prefix(transfer_id: str) -> str:
    return f"{CHECKPOINTS}{checked_id(transfer_id, 'transfer id')}/"


def lease_prefix(point_id: str) -> str:
    return f"{LEASES}{checked_id(point_id, 'point id')}/"


def trash_prefix(point_id: str) -> str:
    return f"{TRASH}{checked_id(point_id, 'point id')}/"


def deletion_name(point_id: str) -> str:
    return DELETED + checked_id(point_id, "point id")


def parse_numbered(name: str, folder: str, digits: int) -> tuple[str, int] | None:
    """``(x, n)`` of ``<folder>x/<n>``, such as a lease's name; None when it is not one."""
    key, _, number = name.removeprefix(folder).rpartition("/")
    fits = name.startswith(folder) and _ID.fullmatch(key) and len(number) == digits
    return (key, int(number)) if fits and number.isascii() and number.isdecimal() else None


def damage_name(pack_sha256: bytes) -> str:
    return DAMAGE + pack_sha256.hex()
