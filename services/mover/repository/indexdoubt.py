"""A pack could not be read as the local index has it: which of the two is wrong?"""

import threading
from contextlib import suppress
from typing import Final

from services.chassis.errors import DataLoss, NotFound, Unavailable
from services.mover.repository.context import Context, info_of
from services.mover.repository.format.blob import BlobEntry
from services.mover.repository.format.segment import PackRecord, Segment
from services.mover.repository.index import PackInfo
from services.mover.repository.indexfile import CACHE_REMADE
from services.mover.repository.indexing import read_segment, records_of
from services.mover.repository.points import exists

REPAIRED: Final = "INDEX_CACHE_REPAIRED"


class IndexDoubt:
    """Asked whenever a read met damage. From any thread."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._lock = threading.Lock()
        self._confirmed: dict[str, set[bytes]] = {}
        self._repaired: set[str] = set()
        self._lacks_nothing = False

    def look(self, error: DataLoss) -> bool:
        """Whether the local index was wrong about the pack or blob that ``error`` names, and is right now.

        What it says of that pack is made anew from the repository. Of a pack that the repository does not
        have, and of a blob that the index does not have, all that is wrong about the segment is. Raises
        Unavailable when that does not help: then the whole index is empty, and filled again by whoever opens
        the repository next or tries again.
        """
        pack, blob = info_of(error.metadata.get("object", "")), bytes.fromhex(error.metadata.get("blob", ""))
        if pack is None and not blob:
            return False
        with self._lock:
            return self._look_for(blob, error) if pack is None else self._look_at(pack, blob, error)

    def _look_at(self, pack: PackInfo, blob: bytes, error: DataLoss) -> bool:
        if pack.name in self._repaired:
            return True
        if pack.name in self._confirmed and (not blob or blob in self._confirmed[pack.name]):
            return False
        record = next(records_of(self._context, {pack.sha256: pack.kind}), None)
        if record is None:
            wrong = self._forget(pack, error)
        else:
            ids = {entry.id for entry in record.entries}
            wrong = self._put_right(record, b"", error, anyway=bool(blob) and blob not in ids)
            if not wrong:
                self._confirmed[pack.name] = ids
        if wrong:
            self._repaired.add(pack.name)
            self._tell(pack.name)
        return wrong

    def _forget(self, pack: PackInfo, error: DataLoss) -> bool:
        """A pack that no segment lists, and that cannot be read: whether the index has made it up."""
        index = self._context.index
        try:
            found = {name: read_segment(self._context, name) for name in index.segments_of([pack.sha256])}
        except (NotFound, DataLoss):
            return False  # nobody knows that it does not list the pack
        for name, segment in found.items():
            self._put_all_right(name, segment, error)
            listed = {record.sha256 for record in segment.packs}
            for other in index.packs_of(name):
                if other.sha256 not in listed and not exists(self._context, other.name):
                    index.forget_pack(other.sha256)
        return bool(found)

    def _look_for(self, blob: bytes, error: DataLoss) -> bool:
        """In the segments; once that was in vain, what the index does not have is nowhere."""
        if self._context.index.known([blob]):
            return True  # somebody else looked for it, or for what was beside it
        if self._lacks_nothing:
            return False
        for name, superseded in self._context.index.segments().items():
            if superseded:
                continue
            with suppress(NotFound, DataLoss):
                segment = read_segment(self._context, name)
                if any(entry.id == blob for record in segment.packs for entry in record.entries):
                    self._put_all_right(name, segment, error)
                    self._tell(f"blob {blob.hex()}")
                    return True
        self._lacks_nothing = True
        return False

    def _put_all_right(self, name: bytes, segment: Segment, error: DataLoss) -> None:
        for record in segment.packs:
            self._put_right(record, name, error)

    def _put_right(
        self, record: PackRecord, segment: bytes, error: DataLoss, *, anyway: bool = False
    ) -> bool:
        """Whether that was needed, or is done ``anyway``, against lines that the pack does not have.

        ``segment`` lists the pack, in case the index does not know of it.
        """
        if self._agrees(record) and not anyway:
            return False
        self._context.index.replace_pack(record, segment)
        if not self._agrees(record):
            self._context.index.clear()
            raise Unavailable(
                f"The local index was wrong about {record.name}, and is made anew.",
                reason=CACHE_REMADE,
                hint="Try again: it is filled from the repository, which is not affected.",
            ) from error
        return True

    def _tell(self, what: str) -> None:
        text = f"The local index was wrong about {what}: it is made anew there, from the repository, which is"
        self._context.on_notice(REPAIRED, f"{text} not affected.")

    def _agrees(self, record: PackRecord) -> bool:
        """Whether the index has every blob of the pack where the repository says that it is: in one of the
        places, should the pack have it twice.
        """
        said: dict[bytes, list[tuple[int, int, BlobEntry]]] = {}
        for slot, (entry, at) in enumerate(zip(record.entries, record.offsets(), strict=True)):
            said.setdefault(entry.id, []).append((slot, at, entry))
        found = self._context.index.find(list(said))

        def agrees(id_: bytes) -> bool:
            copies = [each for each in found.get(id_, ()) if each.pack.is_of(record)]
            return any((each.slot, each.offset, each.entry) in said[id_] for each in copies)

        return all(agrees(id_) for id_ in said)
