"""Epochs: data keys wrapped by the root key (docs/repository-format.md, section 5)."""

import hashlib
import struct
from dataclasses import dataclass
from typing import Final

from services.mover.repository.format.crypto import hkdf, seal, unseal
from services.mover.repository.format.damaged import damaged
from services.mover.repository.format.names import MAX_EPOCH

_RECORD: Final = struct.Struct("<II12s48s")
RECORD_BYTES: Final = _RECORD.size
_MAGIC: Final = b"XKEPOCH1"
_AAD: Final = b"xenkeep/1 epoch "


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """A data key only the root key opens."""

    epoch: int
    generation: int
    nonce: bytes
    ciphertext: bytes

    def encode(self) -> bytes:
        return _RECORD.pack(self.epoch, self.generation, self.nonce, self.ciphertext)

    @classmethod
    def decode(cls, data: bytes, what: str = "an epoch record") -> "EpochRecord":
        """Raises DataLoss naming ``what`` when there can be no epoch, or root key, of its number."""
        record = cls(*_RECORD.unpack(data))
        if not 1 <= record.epoch <= MAX_EPOCH or not record.generation:
            raise damaged(what, "its epoch has an impossible number")
        return record

    def data_key(self, root: bytes, repository_id: bytes, what: str) -> bytes:
        """Raises DataLoss naming ``what`` when this root key does not open the record."""
        aad = _aad(repository_id, self.epoch, self.generation)
        return unseal(_wrap_key(root, repository_id), self.nonce, self.ciphertext, aad, what)


def wrap_data_key(
    root: bytes, repository_id: bytes, epoch: int, generation: int, data_key: bytes, nonce: bytes
) -> EpochRecord:
    wrapped = seal(_wrap_key(root, repository_id), nonce, data_key, _aad(repository_id, epoch, generation))
    return EpochRecord(epoch, generation, nonce, wrapped)


def encode_epoch_object(record: EpochRecord) -> bytes:
    body = _MAGIC + record.encode()
    return body + hashlib.sha256(body).digest()


def decode_epoch_object(data: bytes, what: str) -> EpochRecord:
    """Raises DataLoss naming ``what`` when the bytes are no epoch object."""
    body, digest = data[:-32], data[-32:]
    if len(body) != len(_MAGIC) + RECORD_BYTES or not body.startswith(_MAGIC):
        raise damaged(what, "it is not an epoch")
    if hashlib.sha256(body).digest() != digest:
        raise damaged(what, "its checksum is wrong")
    return EpochRecord.decode(body[len(_MAGIC) :], what)


def _wrap_key(root: bytes, repository_id: bytes) -> bytes:
    return hkdf(root, repository_id, b"xenkeep/1 epoch wrap")


def _aad(repository_id: bytes, epoch: int, generation: int) -> bytes:
    return _AAD + repository_id + struct.pack("<II", epoch, generation)
