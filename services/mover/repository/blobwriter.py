"""Storing blobs: hash, deduplicate, compress, seal, and prove that it decodes."""

import threading
from dataclasses import dataclass

from services.chassis.errors import DataLoss
from services.mover.repository.flow import Flow
from services.mover.repository.format import zstd
from services.mover.repository.format.blob import BlobEntry, BlobType, blob_aad, blob_id, blob_nonce
from services.mover.repository.format.crypto import TAG_BYTES
from services.mover.repository.keys import KeyRing
from services.mover.repository.ledger import Ledger
from services.mover.repository.packer import OpenPack, Packer
from services.mover.repository.scratch import scratch


@dataclass
class StoreCounts:
    """Totals of a session, in blobs and bytes."""

    new_blobs: int = 0
    known_blobs: int = 0
    new_plain_bytes: int = 0
    known_plain_bytes: int = 0
    sealed_bytes: int = 0


class BlobWriter:
    """Stores blobs of one session. Safe to use from several threads; the work is done in the caller's."""

    def __init__(
        self,
        flow: Flow,
        keys: KeyRing,
        ledger: Ledger,
        data: Packer,
        meta: Packer,
        *,
        level: int,
        check: bool,
    ) -> None:
        """``level`` is zstd's; ``check`` decodes every blob after it was encoded."""
        self._flow = flow
        self._keys = keys
        self._ledger = ledger
        self._data = data
        self._meta = meta
        self._level = level
        self._check = check
        self._lock = threading.Lock()
        self.counts = StoreCounts()

    def store(self, type_: BlobType, plain: bytes | bytearray, *, meta: bool = False) -> bytes:
        """The blob's id; it is in a pack, not necessarily durable, when this returns.

        What cannot be stored ends the whole flow: others may have found the blob here, and its place in a
        pack stays empty.
        """
        try:
            id_ = blob_id(self._keys.id_keys[type_], plain)
            if not self._ledger.claim(id_):
                with self._lock:
                    self.counts.known_blobs += 1
                    self.counts.known_plain_bytes += len(plain)
                return id_
            compression, packed = zstd.compress(plain, self._level)
            entry = BlobEntry(id_, type_, compression, len(plain), len(packed) + TAG_BYTES)
            packer = self._meta if meta or type_ in (BlobType.PAGE, BlobType.LIST) else self._data
            pack, slot, sealed = packer.add(entry, packed)
            if self._check:
                self._prove(pack, slot, entry, sealed, plain)
            packer.sealed(pack)
        except BaseException as error:
            self._flow.fail(error)
            raise
        with self._lock:
            self.counts.new_blobs += 1
            self.counts.new_plain_bytes += len(plain)
            self.counts.sealed_bytes += entry.stored
        return id_

    def _prove(
        self, pack: OpenPack, slot: int, entry: BlobEntry, sealed: memoryview, plain: bytes | bytearray
    ) -> None:
        aad = blob_aad(self._keys.repository_id, pack.header.salt, slot, entry)
        what = f"Chunk {entry.id.hex()}"
        try:
            packed = scratch("packed", entry.stored - TAG_BYTES)
            pack.cipher.decrypt_into(blob_nonce(slot), sealed, aad, packed)
            decoded = zstd.decompress_into(entry.compression, packed, entry.plain, _room, what)
        except Exception as error:  # whatever fails here, the answer is the same
            raise _encode_check_failed(what) from error
        # Not ==, which compares bytes with a memoryview element by element.
        if len(decoded) != len(plain) or not plain.startswith(decoded):
            raise _encode_check_failed(what)


def _room(length: int) -> memoryview:
    return scratch("plain", length)


def _encode_check_failed(what: str) -> DataLoss:
    return DataLoss(
        f"{what} did not decode to what was encoded; it was not stored.",
        reason="ENCODE_CHECK_FAILED",
        hint="Test this machine's memory and processor; nothing damaged was committed.",
    )
