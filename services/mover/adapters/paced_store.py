"""A store to which packs are sent no faster than allowed."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from services.mover.adapters.pace import Pace
from services.mover.repository import Store, StoredObject
from services.mover.repository.format.names import PACKS
from services.mover.repository.store import LockingStore
from services.mover.repository.types import Bytes


class PacedStore:
    """Decorates ``inner``: a pack waits before it goes. Everything else is small, and may be urgent."""

    def __init__(self, inner: Store, pace: Pace) -> None:
        self._inner, self._pace = inner, pace

    @property
    def location(self) -> str:
        return self._inner.location

    def put(self, name: str, parts: Sequence[Bytes]) -> None:
        if name.startswith(PACKS):
            self._pace.wait(sum(len(part) for part in parts))
        self._inner.put(name, parts)

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        return self._inner.get(name, offset, length)

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

    @property
    def lock_period(self) -> timedelta | None:
        return self._inner.lock_period if isinstance(self._inner, LockingStore) else None

    def locked_until(self, name: str) -> datetime | None:
        return self._inner.locked_until(name) if isinstance(self._inner, LockingStore) else None

    def extend_lock(self, name: str, until: datetime) -> None:
        if isinstance(self._inner, LockingStore):
            self._inner.extend_lock(name, until)
