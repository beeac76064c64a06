"""A blob's directory entry, id, and sealing (docs/repository-format.md, sections 2 and 6)."""

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from blake3 import blake3

from services.mover.repository.format import zstd
from services.mover.repository.format.crypto import TAG_BYTES
from services.mover.repository.format.damaged import damaged
from services.mover.repository.format.names import MAX_BLOB_BYTES
from services.mover.repository.types import Bytes

ENTRY: Final = struct.Struct("<32sBBHII")


class BlobType(IntEnum):
    CHUNK = 1
    GROUP = 2
    PAGE = 3
    PIECE = 4
    LIST = 5


_TYPES: Final = {int(type_): type_ for type_ in BlobType}


@dataclass(frozen=True, slots=True)
class BlobEntry:
    """One line of a pack's directory. Lengths in bytes; ``stored`` includes the AEAD tag."""

    id: bytes
    type: BlobType
    compression: int
    plain: int
    stored: int

    def encode(self) -> bytes:
        return ENTRY.pack(self.id, self.type, self.compression, 0, self.plain, self.stored)

    @classmethod
    def decode(cls, data: Bytes, what: str) -> "BlobEntry":
        """Raises DataLoss naming ``what`` when a field is outside what the format allows."""
        id_, type_, compression, reserved, plain, stored = ENTRY.unpack(data)
        if type_ not in _TYPES or reserved or compression not in (zstd.RAW, zstd.ZSTD):
            raise damaged(what, "an entry of its directory is of an unknown kind")
        if not 1 <= plain <= MAX_BLOB_BYTES or not TAG_BYTES < stored <= plain + TAG_BYTES:
            raise damaged(what, "an entry of its directory has an impossible length")
        return cls(id_, _TYPES[type_], compression, plain, stored)


def decode_entries(data: Bytes, what: str) -> list[BlobEntry]:
    if len(data) % ENTRY.size:
        raise damaged(what, "its directory ends in the middle of an entry")
    view = memoryview(data)
    return [BlobEntry.decode(view[at : at + ENTRY.size], what) for at in range(0, len(data), ENTRY.size)]


def blob_id(key: bytes, plain: Bytes) -> bytes:
    """Keyed BLAKE3, 32 bytes; ``key`` is the id key of the blob's type."""
    return blake3(plain, key=key).digest()


def blob_nonce(slot: int) -> bytes:
    return slot.to_bytes(4, "little") + bytes(8)


def blob_aad(repository_id: bytes, salt: bytes, slot: int, entry: BlobEntry) -> bytes:
    return b"xenkeep/1 blob" + repository_id + salt + slot.to_bytes(4, "little") + entry.encode()
