"""Filling packs: workers seal blobs in parallel, straight into the open pack's buffer."""

import hashlib
from collections.abc import Callable
from mmap import mmap
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from services.mover.repository.flow import Channel, Flow
from services.mover.repository.format.blob import ENTRY, BlobEntry, blob_aad, blob_nonce
from services.mover.repository.format.crypto import TAG_BYTES
from services.mover.repository.format.epoch import EpochRecord
from services.mover.repository.format.names import MAX_BLOB_BYTES, MAX_BLOBS_PER_PACK, epoch_name, pack_name
from services.mover.repository.format.pack import FOOTER_BYTES, HEADER_BYTES, PackHeader, pack_key, seal_end
from services.mover.repository.format.segment import PackRecord
from services.mover.repository.keys import KeyRing
from services.mover.repository.objects import put_same
from services.mover.repository.store import Store
from services.mover.repository.types import Bytes, Entropy

_LARGEST_BLOB: Final = MAX_BLOB_BYTES + TAG_BYTES


class OpenPack:
    """A pack being filled. Blobs lie in slot order because slot and place are reserved together."""

    def __init__(self, header: PackHeader, key: bytes, epoch: int, buffer: mmap) -> None:
        self.header = header
        self.epoch = epoch
        self.buffer = buffer
        self.cipher = AESGCM(key)
        self.entries: list[BlobEntry] = []
        self.used = HEADER_BYTES
        self.sealing = 0
        self.closed = False
        self._key = key
        buffer[:HEADER_BYTES] = header.encode()

    def has_room(self, stored: int, limit: int) -> bool:
        end = self.used + stored + (len(self.entries) + 1) * ENTRY.size + TAG_BYTES + FOOTER_BYTES
        return not self.entries or (end <= limit and len(self.entries) < MAX_BLOBS_PER_PACK)

    def reserve(self, entry: BlobEntry) -> tuple[int, memoryview]:
        slot = len(self.entries)
        place = memoryview(self.buffer)[self.used : self.used + entry.stored]
        self.entries.append(entry)
        self.used += entry.stored
        self.sealing += 1
        return slot, place

    def finish(self) -> tuple[PackRecord, list[Bytes]]:
        """The pack's record and its bytes."""
        parts: list[Bytes] = [memoryview(self.buffer)[: self.used]]
        parts.append(seal_end(self._key, self.header, self.entries))
        digest = hashlib.sha256()
        for part in parts:
            digest.update(part)
        size = sum(len(part) for part in parts)
        entries = tuple(self.entries)
        return PackRecord(
            digest.digest(), size, self.header.kind, self.epoch, self.header.salt, entries
        ), parts


class Packer:
    """Packs of one kind, filled one after another and stored by uploader threads."""

    def __init__(
        self,
        *,
        flow: Flow,
        full: "Channel[OpenPack]",
        keys: KeyRing,
        epoch: int,
        epoch_record: bytes,
        kind: str,
        pack_bytes: int,
        most_packs: int,
        entropy: Entropy,
    ) -> None:
        """At most ``most_packs``, each with a buffer of ``pack_bytes``, are not stored at any moment."""
        self._flow = flow
        self._changed = flow.condition()
        self._full = full
        self._keys = keys
        self._epoch = epoch
        self._epoch_record = epoch_record
        self._kind = kind
        self._limit = pack_bytes
        self._most_packs = most_packs
        self._entropy = entropy
        self._open: OpenPack | None = None
        self._spare: list[mmap] = []
        self._unfinished = 0

    def add(self, entry: BlobEntry, packed: Bytes) -> tuple[OpenPack, int, memoryview]:
        """Seal one blob into the open pack: the pack, the slot, and the sealed bytes in its buffer.

        Waits while as many packs as there may be are not stored yet; raises Stopped when the flow fails.
        """
        pack, slot, place = self._reserve(entry)
        aad = blob_aad(self._keys.repository_id, pack.header.salt, slot, entry)
        pack.cipher.encrypt_into(blob_nonce(slot), packed, aad, place)
        return pack, slot, place

    def _reserve(self, entry: BlobEntry) -> tuple[OpenPack, int, memoryview]:
        while True:
            full = None
            with self._changed:
                if self._open is not None and not self._open.has_room(entry.stored, self._limit):
                    full = self._close()
                elif self._open is None and self._unfinished >= self._most_packs:
                    self._flow.wait(self._changed, self._may_go_on)
                else:
                    pack = self._open = self._open or self._new()
                    return pack, *pack.reserve(entry)
            if full is not None:
                self._full.put(full)

    def _may_go_on(self) -> bool:
        return self._open is not None or self._unfinished < self._most_packs

    def sealed(self, pack: OpenPack) -> None:
        """The caller of ``add`` is done with the bytes; the last one hands a closed pack on."""
        with self._changed:
            pack.sealing -= 1
            ready = pack.closed and pack.sealing == 0
        if ready:
            self._full.put(pack)

    def cut(self, at_least: int = 0) -> None:
        """Close the open pack when it holds ``at_least`` bytes of blobs."""
        with self._changed:
            big = self._open is not None and self._open.used - HEADER_BYTES >= max(1, at_least)
            ready = self._close() if big else None
        if ready is not None:
            self._full.put(ready)

    def recycle(self, pack: OpenPack) -> None:
        """The pack is stored and its buffer may be used again."""
        with self._changed:
            self._spare.append(pack.buffer)
            self._unfinished -= 1
            self._changed.notify_all()

    def drain(self) -> None:
        """Close the open pack and wait until all are stored; raises Stopped when the flow fails."""
        self.cut()
        with self._changed:
            self._flow.wait(self._changed, lambda: self._unfinished == 0)

    def _close(self) -> OpenPack | None:
        pack = self._open
        assert pack is not None
        pack.closed = True
        self._open = None
        return pack if pack.sealing == 0 else None

    def _new(self) -> OpenPack:
        salt = self._entropy(32)
        data_key = self._keys.learn(EpochRecord.decode(self._epoch_record), epoch_name(self._epoch))
        key, commitment = pack_key(data_key, salt, self._kind, self._keys.repository_id)
        header = PackHeader(self._kind, self._keys.repository_id, salt, self._epoch_record, commitment)
        # Anonymous memory: a bytearray would be zeroed at once, with every other thread waiting.
        size = max(self._limit, HEADER_BYTES + _LARGEST_BLOB)
        buffer = self._spare.pop() if self._spare else mmap(-1, size)
        self._unfinished += 1
        return OpenPack(header, key, self._epoch, buffer)


def store_pack(store: Store, pack: OpenPack, on_durable: Callable[[PackRecord], None]) -> None:
    """Name the pack by its bytes, store it, and tell."""
    record, parts = pack.finish()
    put_same(store, pack_name(record.kind, record.sha256), parts)
    on_durable(record)
