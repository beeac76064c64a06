"""A pack's header, directory and footer (docs/repository-format.md, section 6)."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from services.mover.repository.format.blob import ENTRY, BlobEntry, decode_entries
from services.mover.repository.format.crypto import TAG_BYTES, key_and_commitment, seal, unseal
from services.mover.repository.format.damaged import damaged
from services.mover.repository.format.epoch import RECORD_BYTES
from services.mover.repository.format.names import FORMAT_VERSION, MAX_BLOBS_PER_PACK, MAX_PACK_BYTES

MAGIC: Final = b"\x89XKPK\r\n\x1a"
END_MAGIC: Final = b"XKPKEND1"
KINDS: Final = {"data": 1, "meta": 2}
_KIND_NAMES: Final = {code: name for name, code in KINDS.items()}
_HEADER: Final = struct.Struct(f"<8sBB6x16s32s{RECORD_BYTES}s32s4x")
_FOOTER: Final = struct.Struct("<QII8x8s")
HEADER_BYTES: Final = _HEADER.size
FOOTER_BYTES: Final = _FOOTER.size
_DIRECTORY_NONCE: Final = b"\xff\xff\xff\xff" + bytes(8)


@dataclass(frozen=True, slots=True)
class PackHeader:
    """The clear beginning of a pack."""

    kind: str
    repository_id: bytes
    salt: bytes
    epoch_record: bytes
    commitment: bytes

    def encode(self) -> bytes:
        return _HEADER.pack(
            MAGIC,
            FORMAT_VERSION,
            KINDS[self.kind],
            self.repository_id,
            self.salt,
            self.epoch_record,
            self.commitment,
        )

    @classmethod
    def decode(cls, data: bytes, what: str) -> "PackHeader":
        """Raises DataLoss naming ``what`` when the bytes are no header of version 1."""
        if len(data) != HEADER_BYTES:
            raise damaged(what, "it is too short for a pack")
        magic, version, kind, repository_id, salt, record, commitment = _HEADER.unpack(data)
        if magic != MAGIC or version != FORMAT_VERSION or kind not in _KIND_NAMES:
            raise damaged(what, "it does not begin like a pack")
        header = cls(_KIND_NAMES[kind], repository_id, salt, record, commitment)
        if header.encode() != data:
            raise damaged(what, "its header has reserved bits set")
        return header


@dataclass(frozen=True, slots=True)
class PackFooter:
    """The clear end of a pack: where its directory is. Lengths in bytes."""

    blobs: int
    directory: int
    count: int

    def encode(self) -> bytes:
        return _FOOTER.pack(self.blobs, self.directory, self.count, END_MAGIC)

    @classmethod
    def decode(cls, data: bytes, pack_bytes: int, what: str) -> "PackFooter":
        """Raises DataLoss naming ``what`` when the bytes do not end a pack of ``pack_bytes``."""
        if len(data) != FOOTER_BYTES:
            raise damaged(what, "it is too short for a pack")
        blobs, directory, count, magic = _FOOTER.unpack(data)
        footer = cls(blobs, directory, count)
        if magic != END_MAGIC or footer.encode() != data:
            raise damaged(what, "it does not end like a pack")
        if pack_bytes > MAX_PACK_BYTES or HEADER_BYTES + blobs + directory + FOOTER_BYTES != pack_bytes:
            raise damaged(what, "its size is not what its footer says")
        if not 1 <= count <= MAX_BLOBS_PER_PACK or directory != count * ENTRY.size + TAG_BYTES:
            raise damaged(what, "its directory has an impossible size")
        return footer


def pack_key(data_key: bytes, salt: bytes, kind: str, repository_id: bytes) -> tuple[bytes, bytes]:
    """The key that seals one pack, and its public commitment."""
    return key_and_commitment(data_key, salt, b"xenkeep/1 pack " + bytes([KINDS[kind]]) + repository_id)


def seal_end(key: bytes, header: PackHeader, entries: Sequence[BlobEntry]) -> bytes:
    """Sealed directory and footer, which follow the last blob."""
    plain = b"".join(entry.encode() for entry in entries)
    footer = PackFooter(sum(e.stored for e in entries), len(plain) + TAG_BYTES, len(entries)).encode()
    return seal(key, _DIRECTORY_NONCE, plain, _directory_aad(header, footer)) + footer


def open_directory(
    key: bytes, header: PackHeader, footer: PackFooter, sealed: bytes, what: str
) -> list[BlobEntry]:
    """The blobs in slot order; raises DataLoss naming ``what`` when the seal or a length does not fit."""
    plain = unseal(key, _DIRECTORY_NONCE, sealed, _directory_aad(header, footer.encode()), what)
    entries = decode_entries(plain, what)
    if len(entries) != footer.count or sum(entry.stored for entry in entries) != footer.blobs:
        raise damaged(what, "its directory contradicts its footer")
    return entries


def _directory_aad(header: PackHeader, footer: bytes) -> bytes:
    return b"xenkeep/1 directory" + header.encode() + footer
