"""One object of the pool."""

from collections.abc import Iterator, Mapping
from typing import Any


class Row(Mapping[str, Any]):
    """Field values by name, with the generations at which it was made and last changed.

    ``encoded`` keeps the row's wire texts, by format, until its next change; only the database writes to
    ``values``.
    """

    __slots__ = ("cls", "created", "encoded", "modified", "ref", "values_by_field")

    def __init__(self, cls: str, ref: str, values: dict[str, Any], generation: int) -> None:
        self.cls = cls
        self.ref = ref
        self.values_by_field = values
        self.created = generation
        self.modified = generation
        self.encoded: dict[str, str] = {}

    def copy(self) -> "Row":
        """The same values and generations, to change apart from these."""
        values = {
            field: value.copy() if isinstance(value, (dict, list)) else value
            for field, value in self.values_by_field.items()
        }
        twin = Row(self.cls, self.ref, values, self.created)
        twin.modified = self.modified
        return twin

    def __getitem__(self, field: str) -> Any:
        return self.values_by_field[field]

    def __iter__(self) -> Iterator[str]:
        return iter(self.values_by_field)

    def __len__(self) -> int:
        return len(self.values_by_field)

    def __hash__(self) -> int:
        return hash(self.ref)

    def __eq__(self, other: object) -> bool:
        return self is other
