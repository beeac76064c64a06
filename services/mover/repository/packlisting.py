"""Which packs a store lists, kept outside of memory: there may be millions."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Final

from services.mover.repository.format.names import PACKS, parse_pack_name
from services.mover.repository.format.pack import KINDS
from services.mover.repository.index import PackInfo
from services.mover.repository.scratchdb import ScratchDb
from services.mover.repository.store import Store

_BATCH: Final = 500
_KIND_NAMES: Final = {code: name for name, code in KINDS.items()}
_SCHEMA: Final = """
CREATE TABLE packs (sha256 BLOB PRIMARY KEY, kind INTEGER NOT NULL, size INTEGER NOT NULL) WITHOUT ROWID;
"""


class PackListing(ScratchDb):
    """Packs by SHA-256, with kind and size. A context manager, for one thread at a time."""

    def __init__(self) -> None:
        super().__init__(_SCHEMA)

    def __bool__(self) -> bool:
        return bool(self.rows("SELECT 1 FROM packs LIMIT 1"))

    def note(self, packs: Iterable[tuple[bytes, str, int]]) -> None:
        """Take down SHA-256, kind and size of each."""
        waiting = ((sha256, KINDS[kind], size) for sha256, kind, size in packs)
        while some := list(islice(waiting, _BATCH)):
            with self.transaction():
                self.add("INSERT OR REPLACE INTO packs VALUES (?, ?, ?)", some)

    def sizes(self, packs: Sequence[bytes]) -> dict[bytes, int]:
        """Bytes of those of a few hundred packs that are listed."""
        marks = ",".join("?" * len(packs))
        return dict(self.rows(f"SELECT sha256, size FROM packs WHERE sha256 IN ({marks})", packs))  # noqa: S608

    def total(self) -> tuple[int, int]:
        """How many there are, and their bytes."""
        ((count, size),) = self.rows("SELECT count(*), coalesce(sum(size), 0) FROM packs")
        return count, size

    def batches(self, start: bytes = b"") -> Iterator[list[PackInfo]]:
        """All from ``start`` on, by SHA-256, some hundred at a time; ``epoch`` and ``salt`` are not known."""
        query = "SELECT sha256, kind, size FROM packs WHERE sha256 >= ? ORDER BY sha256 LIMIT ?"
        while rows := self.rows(query, (start, _BATCH)):
            yield [PackInfo(sha256, _KIND_NAMES[kind], size, 0, b"") for sha256, kind, size in rows]
            start = rows[-1][0] + b"\0"

    def around(self, start: bytes) -> Iterator[PackInfo]:
        """All of them: from ``start`` on, and then those before it."""
        for some in self.batches(start):
            yield from some
        for some in self.batches():
            for pack in some:
                if pack.sha256 >= start:
                    return
                yield pack


def listed_packs(store: Store) -> PackListing:
    """The packs in a store, now; what has no name of a pack is left out."""
    listing = PackListing()
    try:
        listing.note(
            (parsed[1], parsed[0], stored.size)
            for stored in store.list(PACKS)
            if (parsed := parse_pack_name(stored.name)) is not None
        )
    except BaseException:
        listing.close()
        raise
    return listing
