"""Reading blobs: find them, fetch ranges of packs, open, decompress, check ids."""

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from services.chassis.errors import DataLoss, NotFound
from services.mover.repository.format import zstd
from services.mover.repository.format.blob import BlobEntry, BlobType, blob_aad, blob_id, blob_nonce
from services.mover.repository.format.crypto import TAG_BYTES
from services.mover.repository.format.damaged import damaged
from services.mover.repository.format.epoch import EpochRecord
from services.mover.repository.format.names import epoch_name
from services.mover.repository.format.pack import HEADER_BYTES, PackHeader, pack_key
from services.mover.repository.index import Location, PackInfo
from services.mover.repository.keys import KeyRing
from services.mover.repository.ports import nobody
from services.mover.repository.scratch import scratch
from services.mover.repository.store import MOST_LENT, WORTH_BORROWING, LendingStore, Store
from services.mover.repository.types import Bytes

_MAX_GAP = 256 << 10
_MAX_RANGE = MOST_LENT
_GONE, _REFRESHED = "gone", "refreshed"


class Locations(Protocol):
    """Whoever knows where blobs are."""

    def find(self, ids: list[bytes]) -> dict[bytes, list[Location]]:
        """Every copy of each blob, the best first; unknown ids are left out."""
        ...


def open_blob(
    cipher: AESGCM, keys: KeyRing, salt: bytes, slot: int, entry: BlobEntry, sealed: Bytes, what: str
) -> Bytes:
    """The plaintext of one blob; raises DataLoss naming the pack ``what``.

    It lies in the thread's scratch memory, until the same thread opens another one.
    """
    packed = scratch("packed", entry.stored - TAG_BYTES)
    aad = blob_aad(keys.repository_id, salt, slot, entry)
    try:
        cipher.decrypt_into(blob_nonce(slot), sealed, aad, packed)
    except (InvalidTag, ValueError):
        raise damaged(what, f"the seal of slot {slot} is broken") from None
    plain = zstd.decompress_into(entry.compression, packed, entry.plain, _room, what)
    if blob_id(keys.id_keys[entry.type], plain) != entry.id:
        raise damaged(what, f"the content of slot {slot} is not what its id says")
    return plain


def _room(length: int) -> memoryview:
    return scratch("plain", length)


class BlobReader:
    """Reads blobs by id, from whichever copy is whole. Safe to use from several threads."""

    def __init__(self, store: Store, keys: KeyRing, locations: Locations) -> None:
        self._store = store
        self._keys = keys
        self._locations = locations
        self._refresh: Callable[[], None] = nobody
        self._doubt: Callable[[DataLoss], bool] = _no_doubt
        self._given_up: set[str] = set()
        """Packs and blobs that were not to be found after a refresh either."""

    def when_gone(self, refresh: Callable[[], None]) -> None:
        """Call ``refresh`` before a blob is given up: its pack may have been replaced by another since."""
        self._refresh = refresh

    def when_damaged(self, doubt: Callable[[DataLoss], bool]) -> None:
        """Call ``doubt`` before a pack is called damaged: True when the pack was not to blame, and is read
        once more.
        """
        self._doubt = doubt

    def index_was_wrong(self, error: DataLoss) -> bool:
        """Whether the index was to blame for ``error``, and not the pack it names; then it is right now."""
        return self._doubt(error)

    def read(self, id_: bytes, type_: BlobType) -> Bytes:
        return self.read_many([id_], type_)[id_]

    def read_many(self, ids: Collection[bytes], type_: BlobType) -> dict[bytes, Bytes]:
        """Plaintexts by id; raises DataLoss naming what is damaged or missing."""
        return {id_: bytes(plain) for id_, plain in self.each(ids, type_)}

    def each(self, ids: Collection[bytes], type_: BlobType) -> Iterator[tuple[bytes, Bytes]]:
        """Every one of the ids once, as they lie in the packs, with its plaintext; raises as ``read_many``.

        A plaintext is in the thread's scratch memory: it is gone when this thread reads any other blob.
        """
        left = dict.fromkeys(ids)
        tried = set[str]()
        while True:
            try:
                for id_, plain in self._each_known(list(left), type_):
                    del left[id_]
                    yield id_, plain
                return
            except DataLoss as error:
                if not self._is_worth_another_try(error, tried):
                    raise

    def _is_worth_another_try(self, error: DataLoss, tried: set[str]) -> bool:
        """Once after a look at the newest index, and once for each pack or blob that the index was wrong
        about.
        """
        gone = error.metadata.get(_GONE, "")
        if gone and gone not in self._given_up:
            if _REFRESHED not in tried:
                self._refresh()
                tried.add(_REFRESHED)
                return True
            self._given_up.add(gone)
        what = error.metadata.get("object") or gone
        if what in tried or not self._doubt(error):
            return False
        self._given_up.discard(gone)
        tried.add(what)
        return True

    def _each_known(self, wanted: list[bytes], type_: BlobType) -> Iterator[tuple[bytes, Bytes]]:
        found = self._locations.find(wanted)
        if missing := [id_ for id_ in wanted if id_ not in found]:
            raise DataLoss(
                f"{len(missing)} of {len(wanted)} {type_.name.lower()}s are in no pack of the repository, "
                f"{missing[0].hex()} among them.",
                reason="BLOB_MISSING",
                hint="Rebuild the index from the packs; if that does not help, packs were deleted.",
                metadata={"blob": missing[0].hex(), _GONE: missing[0].hex()},
            )
        for group in _coalesce(copies[0] for copies in found.values()):
            yield from self._read_range(group, type_, found)

    def _read_range(
        self, group: list[Location], type_: BlobType, copies: dict[bytes, list[Location]]
    ) -> Iterator[tuple[bytes, Bytes]]:
        start = group[0].offset
        end = group[-1].offset + group[-1].entry.stored
        with ExitStack() as borrowed:
            try:
                data = self._borrow(borrowed, group[0].pack.name, start, end - start)
            except DataLoss as error:
                for id_ in (location.entry.id for location in group):  # not all of them need be lost
                    yield id_, self._from_another_copy(id_, copies[id_], error)
                return
            for location in group:
                at = location.offset - start
                id_ = location.entry.id
                try:
                    plain = self._open(location, data[at : at + location.entry.stored], type_)
                except DataLoss as error:
                    plain = self._from_another_copy(id_, copies[id_][1:], error)
                yield id_, plain

    def read_copy(self, location: Location) -> Bytes:
        """This very copy, in scratch memory as of ``each``; raises DataLoss when it is damaged or gone."""
        sealed = self._fetch(location.pack.name, location.offset, location.entry.stored)
        return self._open(location, sealed, location.entry.type)

    def _fetch(self, name: str, offset: int, length: int) -> bytes:
        """Bytes of a pack; whatever keeps them from being read is damage of the pack."""
        with _is_damage(name):
            return self._store.get(name, offset, length)

    def _borrow(self, borrowed: ExitStack, name: str, offset: int, length: int) -> memoryview:
        """The same; they may be gone when ``borrowed`` is left."""
        if length < WORTH_BORROWING or not isinstance(self._store, LendingStore):
            return memoryview(self._fetch(name, offset, length))
        with _is_damage(name):
            return borrowed.enter_context(self._store.lend(name, offset, length))

    def _from_another_copy(self, id_: bytes, copies: Iterable[Location], first: DataLoss) -> Bytes:
        for location in copies:
            try:
                return self.read_copy(location)
            except DataLoss:
                continue
        first.metadata["blob"] = id_.hex()
        raise first

    def _open(self, location: Location, sealed: Bytes, type_: BlobType) -> Bytes:
        pack, entry = location.pack, location.entry
        if entry.type is not type_:
            raise damaged(pack.name, f"{entry.id.hex()} is a {entry.type.name.lower()} there")
        if len(sealed) != entry.stored:
            raise _gone(damaged(pack.name, "it is gone or shorter than the index says"), pack.name)
        key = self.data_key(pack)
        try:
            return self._unseal(key, location, sealed)
        except DataLoss:
            own = None
            with suppress(DataLoss):
                own = self._own_key(pack)
            if own is None or own == key:
                raise
            return self._unseal(own, location, sealed)

    def _unseal(self, data_key: bytes, location: Location, sealed: Bytes) -> Bytes:
        pack = location.pack
        cipher = AESGCM(pack_key(data_key, pack.salt, pack.kind, self._keys.repository_id)[0])
        return open_blob(cipher, self._keys, pack.salt, location.slot, location.entry, sealed, pack.name)

    def data_key(self, pack: PackInfo) -> bytes:
        """The data key of the pack's epoch, learnt from the pack when ``epochs/`` does not have it."""
        known = self._keys.data_key(pack.epoch)
        return self._own_key(pack) if known is None else known

    def _own_key(self, pack: PackInfo) -> bytes:
        """The data key in the pack's own header, which is the right one if the epoch's is another."""
        header = PackHeader.decode(self._fetch(pack.name, 0, HEADER_BYTES), pack.name)
        record = EpochRecord.decode(header.epoch_record, pack.name)
        if record.epoch != pack.epoch:
            raise damaged(pack.name, f"the index says {epoch_name(pack.epoch)}, its header another")
        return self._keys.learn(record, pack.name)


@contextmanager
def _is_damage(name: str) -> Iterator[None]:
    try:
        yield
    except NotFound:
        raise _gone(damaged(name, "it is gone"), name) from None
    except DataLoss as error:
        raise damaged(name, error.message.rstrip(".")) from error


def _gone(error: DataLoss, what: str) -> DataLoss:
    """Marks an error that a look at the newest index may help against."""
    error.metadata[_GONE] = what
    return error


def _no_doubt(_error: DataLoss) -> bool:
    """Until somebody says otherwise."""
    return False


def _coalesce(locations: Iterable[Location]) -> list[list[Location]]:
    """Groups that one ranged read serves: same pack, small gaps, bounded length."""
    groups: list[list[Location]] = []
    for here in sorted(locations, key=lambda location: (location.pack.sha256, location.offset)):
        if groups:
            last = groups[-1][-1]
            end = last.offset + last.entry.stored
            span = here.offset + here.entry.stored - groups[-1][0].offset
            if here.pack == last.pack and here.offset - end <= _MAX_GAP and span <= _MAX_RANGE:
                groups[-1].append(here)
                continue
        groups.append([here])
    return groups
