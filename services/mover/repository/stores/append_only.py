"""A store that nothing is deleted from, whatever the place would let us do."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from services.chassis.errors import FailedPrecondition, PermissionDenied
from services.mover.repository.store import LockingStore, Store, StoredObject
from services.mover.repository.types import Bytes


class AppendOnlyStore:
    """Decorates a store: whoever has only this backs up and restores, and frees no space.

    It keeps this program from deleting, by mistake or by command. What keeps a thief of its credentials from
    it are rights at the place itself; this is how a mover is told that it has no others.
    """

    def __init__(self, inner: Store) -> None:
        self._inner = inner

    @property
    def location(self) -> str:
        return self._inner.location

    @property
    def lock_period(self) -> timedelta | None:
        return self._inner.lock_period if isinstance(self._inner, LockingStore) else None

    def put(self, name: str, parts: Sequence[Bytes]) -> None:
        self._inner.put(name, parts)

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        return self._inner.get(name, offset, length)

    def size(self, name: str) -> int:
        return self._inner.size(name)

    def list(self, prefix: str) -> Iterator[StoredObject]:
        return self._inner.list(prefix)

    def delete(self, name: str) -> None:
        self._inner.size(name)
        raise PermissionDenied(
            f"{name} is not deleted: this mover only adds to {self.location}.",
            reason="STORE_APPEND_ONLY",
            hint="Delete and prune from a mover that may.",
            metadata={"object": name},
        )

    def sweep(self) -> int:
        """What broken puts left is for those who may delete."""
        return 0

    def settle(self, prefix: str) -> None:
        self._inner.settle(prefix)

    def free_bytes(self) -> int | None:
        return self._inner.free_bytes()

    def locked_until(self, name: str) -> datetime | None:
        return self._inner.locked_until(name) if isinstance(self._inner, LockingStore) else None

    def extend_lock(self, name: str, until: datetime) -> None:
        if isinstance(self._inner, LockingStore):
            self._inner.extend_lock(name, until)


def require_deletions(store: Store) -> None:
    """Raises FailedPrecondition before anything is begun that this mover could not finish."""
    if isinstance(store, AppendOnlyStore):
        raise FailedPrecondition(
            f"This mover only adds to {store.location}: it deletes, takes back and prunes nothing there.",
            reason="REPOSITORY_APPEND_ONLY",
            hint="Do so from a site where the repository is in service without mode=append-only.",
        )
