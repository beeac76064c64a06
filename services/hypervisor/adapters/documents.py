"""Values as JSON documents: a column of their own only for what is searched for."""

from typing import Generic, TypeVar

from pydantic import TypeAdapter

T = TypeVar("T")


class Documents(Generic[T]):
    """Both ways for one frozen dataclass."""

    def __init__(self, kind: type[T]) -> None:
        self._adapter: TypeAdapter[T] = TypeAdapter(kind)

    def text(self, value: T) -> str:
        return self._adapter.dump_json(value).decode()

    def value(self, text: str) -> T:
        """Raises ValueError for a document of another shape: a defect, or a newer release's."""
        return self._adapter.validate_json(text)
