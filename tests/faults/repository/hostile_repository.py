"""A repository in which somebody who has its keys wrote nonsense, properly sealed; and all uses of one."""

import contextlib
import hashlib
import random
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from services.chassis.errors import XenkeepError
from services.mover.repository import MemoryStore, Repository
from services.mover.repository.entropy import fresh
from services.mover.repository.format import canonical
from services.mover.repository.format.blob import BlobEntry, BlobType, blob_aad, blob_id, blob_nonce
from services.mover.repository.format.crypto import seal
from services.mover.repository.format.epoch import EpochRecord
from services.mover.repository.format.names import epoch_name, pack_name, point_name
from services.mover.repository.format.pack import PackFooter, PackHeader, pack_key, seal_end
from services.mover.repository.format.segment import PackRecord, Segment, encode_segment
from services.mover.repository.keys import KeyRing
from services.mover.repository.objects import SealedObjects
from tests.faults.repository.prunes import NOW
from tests.unit.repository.world import back_up, description, noise, reopen

CONTENT = noise(40 << 10) * 8
GOOD = "good"


class Sink:
    """A disk of any size that keeps nothing."""

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Gone."""


class Forger:
    """Writes into ``store`` with the keys of an opened ``repository``, also when that is closed."""

    def __init__(self, store: MemoryStore, repository: Repository) -> None:
        self._store = store
        opened = repository._context.keys
        self.keys = self._keys = KeyRing(bytes(opened.root), opened.repository_id)
        self._objects = SealedObjects(store, self._keys, fresh)

    def object(self, kind: str, name: str, body: bytes, public: dict[str, Any] | None = None) -> None:
        self._store.objects.pop(name, None)
        self._objects.put(kind, name, public or {}, body)

    def point(self, point_id: str, body: bytes) -> None:
        self.object("point", point_name(point_id), body, {"segments": []})

    def body(self, point_id: str) -> dict[str, Any]:
        public_and_body = self._objects.get("point", point_name(point_id))
        return canonical.decode_object(public_and_body[1], point_id)

    def segment(self, body: bytes) -> None:
        self._objects.put_segment(body)

    def header(self, kind: str, dice: random.Random) -> tuple[PackHeader, bytes]:
        """A pack's header and key."""
        name = epoch_name(1)
        record = EpochRecord.decode(self._store.objects[name][8:76])
        salt = dice.randbytes(32)
        key, commitment = pack_key(self._keys.learn(record, name), salt, kind, self._keys.repository_id)
        return PackHeader(kind, self._keys.repository_id, salt, record.encode(), commitment), key

    def entry(self, type_: BlobType, plain: bytes, compression: int = 0, claimed: int = 0) -> BlobEntry:
        """A directory entry of ``plain``, or of ``claimed`` bytes of it when they are compressed."""
        id_ = blob_id(self._keys.id_keys[type_], plain)
        return BlobEntry(id_, type_, compression, claimed or len(plain), len(plain) + 16)

    def pack(
        self,
        kind: str,
        blobs: Sequence[tuple[BlobEntry, bytes]],
        dice: random.Random,
    ) -> bytes:
        """Store a pack of these blobs as they are; its SHA-256."""
        header, key = self.header(kind, dice)
        sealed = b"".join(
            seal(key, blob_nonce(slot), plain, blob_aad(self._keys.repository_id, header.salt, slot, entry))
            for slot, (entry, plain) in enumerate(blobs)
        )
        entries = tuple(entry for entry, _ in blobs)
        data = header.encode() + sealed + seal_end(key, header, entries)
        digest = hashlib.sha256(data).digest()
        self._store.objects[pack_name(kind, digest)] = data
        record = PackRecord(digest, len(data), kind, 1, header.salt, entries)
        self.segment(encode_segment(Segment((record,))))
        return digest

    def pack_with_directory(self, kind: str, directory: bytes, count: int, dice: random.Random) -> None:
        """A pack whose directory is these very bytes, whatever they are."""
        header, key = self.header(kind, dice)
        footer = PackFooter(100, len(directory) + 16, count).encode()
        aad = b"xenkeep/1 directory" + header.encode() + footer
        nonce = b"\xff\xff\xff\xff" + bytes(8)
        data = header.encode() + bytes(100) + seal(key, nonce, directory, aad) + footer
        self._store.objects[pack_name(kind, hashlib.sha256(data).digest())] = data


def use(store: MemoryStore, cache: Path, points: Sequence[str] = ()) -> set[str]:
    """Everything one does with a repository; the reasons of what was refused.

    Only errors of the product's own kind come out, the good point restores unless it is refused, and a new
    backup either works or says why not.
    """
    reasons: set[str] = set()

    def attempt(verb: Callable[[], object]) -> None:
        try:
            verb()
        except XenkeepError as error:
            assert error.message
            assert error.reason != "INTERNAL"
            reasons.add(error.reason)

    repository: Repository | None = None
    try:
        repository = reopen(store, cache)
    except XenkeepError as error:
        assert error.message
        reasons.add(error.reason)
        return reasons
    with repository:
        attempt(repository.keys.list_slots)
        for point_id in (*points, GOOD):
            attempt(partial(_use_point, repository, point_id))
        attempt(lambda: repository.verify(full=True))
        attempt(lambda: _back_up_again(repository, points))
        attempt(repository.rebuild_index)
        attempt(repository.keys.start_epoch)
        attempt(repository.statistics)
        attempt(repository.list_trash)
        attempt(partial(repository.prune, NOW))
    return reasons


def _use_point(repository: Repository, point_id: str) -> None:
    point = repository.get_point(point_id)
    repository.known_damage(point_id)
    for disk in point.disks:
        with contextlib.suppress(XenkeepError):
            repository.data_extents(point_id, disk.disk_id)
        with contextlib.suppress(XenkeepError):
            repository.read_disk(point_id, disk.disk_id, 0, min(disk.size_bytes, 1 << 20))
        repository.restore_disk(point_id, disk.disk_id, Sink())
    for name in point.streams:
        for part in repository.read_stream(point_id, name):
            assert part is not None


def _back_up_again(repository: Repository, points: Sequence[str]) -> None:
    for point_id in points:
        with contextlib.suppress(XenkeepError):
            back_up(repository, f"{point_id}-next", CONTENT, base=point_id, changed=[(0, 4096)], transfer="t")
    with repository.begin_backup("again") as session:
        session.stream("vm-configuration", [b"<vm/>"])
        session.commit(description())
