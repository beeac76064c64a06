"""What all stores that stand before another one have in common."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime, timedelta

from services.chassis.errors import NotFound
from services.mover.repository.probing import FileSystemStore, StoreFacts, TellingStore
from services.mover.repository.store import (
    HiddenObject,
    HidingStore,
    LendingStore,
    LockingStore,
    Store,
    StoredObject,
)
from services.mover.repository.types import Bytes


class ForwardingStore:
    """Does everything as ``inner`` does. Whoever decorates a store is one, and overrides what differs.

    What ``inner`` cannot do is answered as its protocol lets it: nothing is locked, what is lent was got, and
    nothing is told.
    """

    def __init__(self, inner: Store) -> None:
        self._inner = inner

    @property
    def location(self) -> str:
        return self._inner.location

    def put(self, name: str, parts: Sequence[Bytes]) -> None:
        self._inner.put(name, parts)

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        return self._inner.get(name, offset, length)

    def lend(self, name: str, offset: int, length: int) -> AbstractContextManager[memoryview]:
        if isinstance(self._inner, LendingStore):
            return self._inner.lend(name, offset, length)
        return nullcontext(memoryview(self.get(name, offset, length)))

    def size(self, name: str) -> int:
        return self._inner.size(name)

    def list(self, prefix: str) -> Iterator[StoredObject]:
        return self._inner.list(prefix)

    def delete(self, name: str) -> None:
        self._inner.delete(name)

    def sweep(self) -> int:
        return self._inner.sweep()

    def settle(self, prefix: str) -> None:
        self._inner.settle(prefix)

    def free_bytes(self) -> int | None:
        return self._inner.free_bytes()

    def hides(self) -> bool:
        return isinstance(self._inner, HidingStore) and self._inner.hides()

    def hidden(self, prefix: str) -> Iterator[HiddenObject]:
        return self._inner.hidden(prefix) if isinstance(self._inner, HidingStore) else iter(())

    def uncover(self, name: str) -> None:
        if not isinstance(self._inner, HidingStore):
            raise NotFound(f"{name} is not hidden.", reason="OBJECT_MISSING", metadata={"object": name})
        self._inner.uncover(name)

    def hidden_lock(self, name: str) -> datetime | None:
        return self._inner.hidden_lock(name) if isinstance(self._inner, HidingStore) else None

    def facts(self) -> StoreFacts | None:
        return self._inner.facts() if isinstance(self._inner, TellingStore) else None

    def file_system(self) -> str | None:
        return self._inner.file_system() if isinstance(self._inner, FileSystemStore) else None

    @property
    def lock_period(self) -> timedelta | None:
        return self._inner.lock_period if isinstance(self._inner, LockingStore) else None

    def locked_until(self, name: str) -> datetime | None:
        return self._inner.locked_until(name) if isinstance(self._inner, LockingStore) else None

    def extend_lock(self, name: str, until: datetime) -> None:
        if isinstance(self._inner, LockingStore):
            self._inner.extend_lock(name, until)
