"""Reading packs without an index (docs/repository-format.md, section 6)."""

import hashlib
from collections.abc import Iterator

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from services.chassis.errors import DataLoss
from services.mover.repository.format.crypto import same
from services.mover.repository.format.damaged import damaged
from services.mover.repository.format.epoch import EpochRecord
from services.mover.repository.format.names import MAX_PACK_BYTES, parse_pack_name
from services.mover.repository.format.pack import (
    FOOTER_BYTES,
    HEADER_BYTES,
    PackFooter,
    PackHeader,
    open_directory,
    pack_key,
)
from services.mover.repository.format.segment import PackRecord
from services.mover.repository.keys import KeyRing
from services.mover.repository.reader import open_blob
from services.mover.repository.store import Store
from services.mover.repository.types import Bytes


def read_record(store: Store, keys: KeyRing, name: str, size: int) -> PackRecord:
    """What an index segment would say of the pack, from its own header, directory and footer.

    Raises DataLoss when the pack is damaged, NotFound when it is gone.
    """
    parsed = parse_pack_name(name)
    if parsed is None or size < HEADER_BYTES + FOOTER_BYTES:
        raise damaged(name, "it is not a pack")
    head = store.get(name, 0, HEADER_BYTES)
    tail = store.get(name, size - FOOTER_BYTES, FOOTER_BYTES)
    footer = PackFooter.decode(tail, size, name)
    directory = store.get(name, size - FOOTER_BYTES - footer.directory, footer.directory)
    return _record(keys, name, size, head, footer, directory)[0]


def check_hash(name: str, data: Bytes) -> None:
    """Raises DataLoss when the pack's bytes are not those it is named by; needs no key."""
    parsed = parse_pack_name(name)
    if parsed is None:
        raise damaged(name, "it is not a pack")
    if hashlib.sha256(data).digest() != parsed[1]:
        raise damaged(name, "its content is not what its name says")


def damaged_blobs(keys: KeyRing, name: str, data: Bytes) -> Iterator[tuple[bytes, str]]:
    """Decode every blob of a whole pack: ids of those that fail, and why.

    Raises DataLoss when not even the directory can be read.
    """
    if len(data) < HEADER_BYTES + FOOTER_BYTES or len(data) > MAX_PACK_BYTES:
        raise damaged(name, "its size is impossible")
    view = memoryview(data)
    end = len(view) - FOOTER_BYTES
    footer = PackFooter.decode(bytes(view[end:]), len(view), name)
    directory = bytes(view[end - footer.directory : end])
    record, cipher = _record(keys, name, len(view), bytes(view[:HEADER_BYTES]), footer, directory)
    for slot, (entry, at) in enumerate(zip(record.entries, record.offsets(), strict=True)):
        try:
            open_blob(cipher, keys, record.salt, slot, entry, view[at : at + entry.stored], name)
        except DataLoss as error:
            yield entry.id, error.message


def _record(
    keys: KeyRing, name: str, size: int, head: bytes, footer: PackFooter, directory: bytes
) -> tuple[PackRecord, AESGCM]:
    parsed = parse_pack_name(name)
    header = PackHeader.decode(head, name)
    if parsed is None or header.kind != parsed[0] or header.repository_id != keys.repository_id:
        raise damaged(name, "it belongs to another place or repository")
    epoch = EpochRecord.decode(header.epoch_record, name)
    key, commitment = pack_key(keys.learn(epoch, name), header.salt, header.kind, header.repository_id)
    if not same(commitment, header.commitment):
        raise damaged(name, "it was sealed with another key")
    entries = open_directory(key, header, footer, directory, name)
    return PackRecord(parsed[1], size, header.kind, epoch.epoch, header.salt, tuple(entries)), AESGCM(key)
