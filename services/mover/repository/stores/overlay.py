"""A store in which some objects can be made good without anything being written to it."""

from collections.abc import Iterator, Sequence
from itertools import chain

from services.mover.repository.format.names import HEADER, INDEX
from services.mover.repository.store import Store, StoredObject
from services.mover.repository.stores.forwarding import ForwardingStore
from services.mover.repository.types import Bytes

_OWN = (HEADER, INDEX)


class Overlay(ForwardingStore):
    """``inner``, but that header and index segments are written to ``own``, and deleted nowhere but there.

    For whoever reads a repository that lacks some of them. Everything else is ``inner``'s.
    """

    def __init__(self, inner: Store, own: Store) -> None:
        super().__init__(inner)
        self._own = own
        self._added: set[str] = set()
        self._hidden: set[str] = set()

    def put(self, name: str, parts: Sequence[Bytes]) -> None:
        if not name.startswith(_OWN):
            super().put(name, parts)
            return
        self._own.put(name, parts)
        self._added.add(name)

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        return self._of(name).get(name, offset, length)

    def size(self, name: str) -> int:
        return self._of(name).size(name)

    def list(self, prefix: str) -> Iterator[StoredObject]:
        not_theirs = self._added | self._hidden
        theirs = (stored for stored in super().list(prefix) if stored.name not in not_theirs)
        return chain(theirs, self._own.list(prefix))

    def delete(self, name: str) -> None:
        if not name.startswith(_OWN):
            super().delete(name)
        elif name in self._added:
            self._own.delete(name)
        else:
            self._hidden.add(name)

    def _of(self, name: str) -> Store:
        return self._own if name in self._added | self._hidden else self._inner
