"""The rows of one class."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from services.simulator.database.row import Row

DELETIONS_LIMIT = 512
DELETIONS_KEPT = 256
"""Beyond the limit only the newest are remembered (xapi: ocaml/database/db_cache_types.ml), so an old event
token can miss deletions."""


@dataclass(frozen=True)
class Deletion:
    ref: str
    created: int
    deleted: int


class Table:
    """Rows by reference, ordered by their last change."""

    def __init__(self, cls: str) -> None:
        self.cls = cls
        self._rows: dict[str, Row] = {}
        self._by_uuid: dict[str, str] = {}
        self._deletions: deque[Deletion] = deque()
        self.generation = 0

    def copy(self) -> "Table":
        """The same rows and memories of deletions, to change apart from these."""
        twin = Table(self.cls)
        twin._rows = {ref: row.copy() for ref, row in self._rows.items()}
        twin._by_uuid = dict(self._by_uuid)
        twin._deletions = deque(self._deletions)
        twin.generation = self.generation
        return twin

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows.values())

    def __contains__(self, ref: str) -> bool:
        return ref in self._rows

    def get(self, ref: str) -> Row | None:
        return self._rows.get(ref)

    def by_uuid(self, uuid: str) -> Row | None:
        ref = self._by_uuid.get(uuid)
        return None if ref is None else self._rows[ref]

    def insert(self, ref: str, values: dict[str, Any], generation: int) -> Row:
        """Add a row. Raises ``ValueError`` when the reference or the uuid is taken: that is a defect of
        the caller.
        """
        uuid = values.get("uuid", "")
        if ref in self._rows or (uuid and uuid in self._by_uuid):
            raise ValueError(f"{self.cls} {ref} (uuid {uuid}) exists already")
        row = self._rows[ref] = Row(self.cls, ref, values, generation)
        if uuid:
            self._by_uuid[uuid] = ref
        self.generation = generation
        return row

    def touched(self, row: Row, generation: int) -> None:
        """Note that ``row`` changed: forget its wire texts and put it last."""
        row.modified = generation
        row.encoded.clear()
        self._rows[row.ref] = self._rows.pop(row.ref)
        self.generation = generation

    def delete(self, ref: str, generation: int) -> Row:
        row = self._rows.pop(ref)
        self._by_uuid.pop(row.get("uuid", ""), None)
        self._deletions.append(Deletion(ref, row.created, generation))
        if len(self._deletions) > DELETIONS_LIMIT:
            while len(self._deletions) > DELETIONS_KEPT:
                self._deletions.popleft()
        self.generation = generation
        return row

    def forget_deletions(self) -> int:
        """As if more deletions had followed than are remembered; how many were forgotten."""
        count = len(self._deletions)
        self._deletions.clear()
        return count

    def changed_since(self, generation: int) -> list[Row]:
        """Rows changed after ``generation``, the latest change last."""
        found: list[Row] = []
        for row in reversed(self._rows.values()):
            if row.modified <= generation:
                break
            found.append(row)
        return found[::-1]

    def deleted_since(self, generation: int) -> list[Deletion]:
        """Deletions after ``generation`` of rows that existed then."""
        return [gone for gone in self._deletions if gone.deleted > generation >= gone.created]
