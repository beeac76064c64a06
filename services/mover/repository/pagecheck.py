"""Which chunks of a disk's map are lost. Of a page that differs from another the difference is looked at.

So the points of one disk cost what changed between them, and no memory while everything is whole.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from services.chassis.errors import DataLoss
from services.mover.repository.context import Context
from services.mover.repository.format.blob import BlobType
from services.mover.repository.format.damaged import damaged
from services.mover.repository.format.names import PAGE_ENTRIES
from services.mover.repository.format.page import Entry, Page, decode_page
from services.mover.repository.scratchdb import ScratchDb

Culprits = dict[str, str]
"""Object name to problem; no name where a page is in no pack."""

_READ: Final = 32
_ASKED: Final = 500
_ALL: Final = -1


@dataclass(frozen=True, slots=True)
class _Checked:
    """``bad``: culprits by chunk, counted from the page's first one; under ``_ALL`` what spoils the page."""

    level: int
    depth: int
    bad: Mapping[int, Culprits]


class PageChecker(ScratchDb):
    """Looks at each distinct page once. A context manager, for one thread at a time."""

    def __init__(self, context: Context, lost: Callable[[Sequence[bytes]], Mapping[bytes, Culprits]]) -> None:
        """``lost`` says which of some blobs cannot be read, and because of what."""
        super().__init__(
            "CREATE TABLE whole (id BLOB PRIMARY KEY, level INTEGER, depth INTEGER) WITHOUT ROWID;"
        )
        self._context = context
        self._lost = lost
        self._damaged: dict[bytes, _Checked] = {}

    def culprits(self, root: bytes, levels: int, chunks: int) -> Culprits:
        """What is to blame when a disk of so many chunks cannot be read completely."""
        found: Culprits = {}
        for chunk, culprits in self._check([root], levels - 1)[root].bad.items():
            if chunk < chunks:
                found |= culprits
        return found

    def _check(self, ids: Sequence[bytes], level: int) -> dict[bytes, _Checked]:
        found = self._remembered(ids)
        new = [id_ for id_ in dict.fromkeys(ids) if id_ not in found]
        for at in range(0, len(new), _READ):
            some = new[at : at + _READ]
            for id_, page in zip(some, self._read(some), strict=True):
                found[id_] = self._look(id_, page, level)
                self._remember(id_, found[id_])
        for id_, checked in found.items():
            if checked.level != level:
                found[id_] = _spoilt(level, _misplaced(id_))
        return found

    def _look(self, id_: bytes, page: Page | DataLoss, level: int) -> _Checked:
        if isinstance(page, DataLoss):
            return _spoilt(level, page)
        if page.level != level:
            return _spoilt(level, _misplaced(id_))
        reach = PAGE_ENTRIES**level
        bad: dict[int, Culprits] = {}
        if page.base is not None:
            base = self._check([page.base], level)[page.base]
            if _ALL in base.bad:
                return base
            if base.depth + 1 != page.depth:
                return _spoilt(level, _misplaced(id_))
            bad = {chunk: c for chunk, c in base.bad.items() if chunk // reach not in page.items}
        bad |= self._below(page, reach) if level else self._entries(page)
        return _Checked(level, page.depth, bad)

    def _below(self, page: Page, reach: int) -> dict[int, Culprits]:
        children = {index: item for index, item in page.items.items() if isinstance(item, bytes)}
        checked = self._check(list(children.values()), page.level - 1)
        return {
            index * reach + max(chunk, 0): culprits
            for index, id_ in children.items()
            for chunk, culprits in checked[id_].bad.items()
        }

    def _entries(self, page: Page) -> dict[int, Culprits]:
        entries = {index: item for index, item in page.items.items() if isinstance(item, Entry)}
        lost = self._lost([id_ for entry in entries.values() for id_ in entry.blob_ids()])
        bad: dict[int, Culprits] = {}
        for index, entry in entries.items() if lost else ():
            for id_ in entry.blob_ids():
                if id_ in lost:
                    bad[index] = bad.get(index, {}) | lost[id_]
        return bad

    def _read(self, ids: Sequence[bytes]) -> list[Page | DataLoss]:
        try:
            found = self._context.reader.read_many(ids, BlobType.PAGE)
            blocks = self._context.header.blocks_per_chunk
            return [decode_page(found[id_], blocks, _named(id_)) for id_ in ids]
        except DataLoss as error:
            return [error] if len(ids) == 1 else [page for id_ in ids for page in self._read([id_])]

    def _remembered(self, ids: Sequence[bytes]) -> dict[bytes, _Checked]:
        found = {id_: self._damaged[id_] for id_ in ids if id_ in self._damaged}
        for at in range(0, len(ids), _ASKED):
            some = ids[at : at + _ASKED]
            marks = ",".join("?" * len(some))
            for row in self.rows(f"SELECT * FROM whole WHERE id IN ({marks})", some):  # noqa: S608 - marks alone
                found[row[0]] = _Checked(row[1], row[2], {})
        return found

    def _remember(self, id_: bytes, checked: _Checked) -> None:
        if checked.bad:
            self._damaged[id_] = checked
        else:
            self.add("INSERT OR IGNORE INTO whole VALUES (?, ?, ?)", [(id_, checked.level, checked.depth)])


def _spoilt(level: int, error: DataLoss) -> _Checked:
    return _Checked(level, 0, {_ALL: {error.metadata.get("object", ""): error.message}})


def _misplaced(id_: bytes) -> DataLoss:
    return damaged(_named(id_), "it is not of the level or depth its place needs")


def _named(id_: bytes) -> str:
    return f"map page {id_.hex()}"
