"""All tables of a pool behind one generation counter."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from services.simulator.database.relations import REFERENCES, RELATIONS
from services.simulator.database.row import Row
from services.simulator.database.table import Table
from services.simulator.failure import XapiFailure, handle_invalid, internal_error, uuid_invalid
from services.simulator.model.defaults import NULL_REF
from services.simulator.model.schema import Model

FIRST_GENERATION = 16
"""A new database has been written to before anybody sees it, so that token 1 is older than all of it."""


@dataclass(frozen=True)
class Change:
    """``operation`` is ``add``, ``mod`` or ``del``. For ``del`` the row is as it was."""

    row: Row
    operation: str


class Database:
    """Rows, their mirrored references, and listeners that hear of every change.

    It belongs to one event loop and never waits: a group of writes without an ``await`` between them is
    atomic.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self.tables = {cls: Table(cls) for cls in model.classes}
        self.generation = FIRST_GENERATION
        self._listeners: list[Callable[[Change], None]] = []

    def copy_from(self, other: "Database") -> None:
        """Hold what ``other`` holds, to change apart from it. Nobody is told: event tokens stay good."""
        self.tables = {cls: table.copy() for cls, table in other.tables.items()}
        self.generation = other.generation

    def listen(self, listener: Callable[[Change], None]) -> Callable[[], None]:
        """Call ``listener`` at every change until the returned function is called. It must not write."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def find(self, cls: str, ref: str) -> Row | None:
        table = self.tables.get(cls)
        return table.get(ref) if table is not None else None

    def row(self, cls: str, ref: str) -> Row:
        """Raises ``HANDLE_INVALID``."""
        found = self.find(cls, ref)
        if found is None:
            raise handle_invalid(cls, ref)
        return found

    def by_uuid(self, cls: str, uuid: str) -> Row:
        """Raises ``UUID_INVALID``."""
        found = self.tables[cls].by_uuid(uuid)
        if found is None:
            raise uuid_invalid(cls, uuid)
        return found

    def rows(self, cls: str) -> list[Row]:
        """All rows of a class; a list, so that the caller may write while it goes through them."""
        return list(self.tables[cls])

    def only(self, cls: str) -> Row:
        """The single row of a class that has exactly one, such as ``pool``."""
        (row,) = self.tables[cls]
        return row

    def create(self, cls: str, ref: str, values: dict[str, Any]) -> Row:
        """Add an object; fields not given get their default, mirrored sets are filled by their other side."""
        fields = self.model.classes[cls].fields
        full = {name: values.get(name, _copy(field.default)) for name, field in fields.items()}
        self.generation += 1
        row = self.tables[cls].insert(ref, full, self.generation)
        for field in REFERENCES.get(cls, ()):
            self._mirror(row, field, NULL_REF, full.get(field, NULL_REF))
        self._tell(Change(row, "add"))
        return row

    def set(self, cls: str, ref: str, field: str, value: Any) -> None:
        """Write one field. Writing what is there already is no change and makes no event."""
        self.update(cls, ref, **{field: value})

    def update(self, cls: str, ref: str, **values: Any) -> None:
        """Write several fields as one change. Raises ``HANDLE_INVALID``."""
        row = self.row(cls, ref)
        changed = {field: value for field, value in values.items() if not _same(row[field], value)}
        if not changed:
            return
        for field, value in changed.items():
            before = row.values_by_field[field]
            row.values_by_field[field] = value
            self._mirror(row, field, before, value)
        self._changed(row)

    def add_to_map(self, cls: str, ref: str, field: str, key: str, value: Any) -> None:
        """Raises ``MAP_DUPLICATE_KEY`` when the key is there, whatever its value."""
        row = self.row(cls, ref)
        if key == "":
            raise internal_error("Db_exn.Empty_key_in_map")
        if key in row[field]:
            raise XapiFailure("MAP_DUPLICATE_KEY", cls, field, ref, key)
        self.update(cls, ref, **{field: {**row[field], key: value}})

    def remove_from_map(self, cls: str, ref: str, field: str, key: str) -> None:
        """A missing key is no error."""
        row = self.row(cls, ref)
        self.update(cls, ref, **{field: {name: value for name, value in row[field].items() if name != key}})

    def add_to_set(self, cls: str, ref: str, field: str, value: Any) -> None:
        """A value that is there already is no error, but, as in xapi, counts as a change."""
        row = self.row(cls, ref)
        if value in row[field]:
            self._changed(row)
        else:
            self.update(cls, ref, **{field: [value, *row[field]]})

    def remove_from_set(self, cls: str, ref: str, field: str, value: Any) -> None:
        row = self.row(cls, ref)
        self.update(cls, ref, **{field: [item for item in row[field] if item != value]})

    def touch(self, cls: str, ref: str) -> None:
        """Make the object look changed."""
        self._changed(self.row(cls, ref))

    def delete(self, cls: str, ref: str) -> None:
        """Remove an object and what mirrors it; references to it elsewhere dangle. Raises
        ``HANDLE_INVALID``.
        """
        row = self.row(cls, ref)
        self.generation += 1
        self.tables[cls].delete(ref, self.generation)
        for field in REFERENCES.get(cls, ()):
            self._mirror(row, field, row.get(field, NULL_REF), NULL_REF)
        self._tell(Change(row, "del"))

    def newest(self, classes: Iterable[str]) -> int:
        """The generation of the latest change in any of these classes."""
        return max((self.tables[cls].generation for cls in classes), default=0)

    def _mirror(self, row: Row, field: str, before: Any, after: Any) -> None:
        relation = RELATIONS.get((row.cls, field))
        if relation is None or before == after:
            return
        cls, mirror = relation
        for ref, holds in ((before, False), (after, True)):
            other = self.find(cls, ref)
            if other is None or mirror not in other:
                continue
            held = other[mirror]
            other.values_by_field[mirror] = (
                [row.ref, *held] if holds else [item for item in held if item != row.ref]
            )
            self._changed(other)

    def _changed(self, row: Row) -> None:
        self.generation += 1
        self.tables[row.cls].touched(row, self.generation)
        self._tell(Change(row, "mod"))

    def _tell(self, change: Change) -> None:
        for listener in list(self._listeners):
            listener(change)


def _copy(value: Any) -> Any:
    return value.copy() if isinstance(value, (dict, list)) else value


def _same(before: Any, after: Any) -> bool:
    return type(before) is type(after) and bool(before == after)
