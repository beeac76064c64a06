"""The place objects are kept, seen from the engine."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol, runtime_checkable

from services.mover.repository.format.damaged import damaged
from services.mover.repository.format.names import MAX_CLEAR_BYTES, MAX_OBJECT_BYTES
from services.mover.repository.types import Bytes


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object's name and its size in bytes."""

    name: str
    size: int


def require_possible(name: str, size: int) -> None:
    """Raises DataLoss when no object of the format is as large."""
    if size > MAX_OBJECT_BYTES:
        raise damaged(name, f"it has {size} bytes, more than any object has")


def require_small(name: str, size: int) -> None:
    """Raises DataLoss when what no seal protects is too large to be read as JSON."""
    if size > MAX_CLEAR_BYTES:
        raise damaged(name, f"it has {size} bytes")


class Store(Protocol):
    """Immutable objects by name. Names are relative paths with ``/``; no component starts with a dot.

    Law for every implementation, proven by tests/contract/repository/test_stores.py:
    safe to use from several threads; errors are ``services.chassis.errors`` leaves (ResourceExhausted when
    full, PermissionDenied when refused, Unavailable when trying again may help); an object is seen whole or
    not at all, by every reader, also after a crash at any moment.
    """

    @property
    def location(self) -> str:
        """Where this is, for people and to tell stores apart; holds no secret."""
        ...

    def put(self, name: str, parts: Sequence[Bytes]) -> None:
        """Create ``name`` with the concatenation of ``parts``; durable against power loss on return.

        Raises AlreadyExists, leaving the existing object alone, when the name is taken.
        """
        ...

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        """Exactly ``length`` bytes from ``offset``; to the end without ``length``.

        Raises NotFound when there is no such object; DataLoss when it is shorter than asked, when it alone
        cannot be read, or when the whole is asked for and larger than any object the format knows: who may
        write here must not exhaust our memory.
        """
        ...

    def size(self, name: str) -> int:
        """Bytes of the object; raises NotFound."""
        ...

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """Every object whose name starts with ``prefix``, in no order; leftovers of broken puts are none."""
        ...

    def delete(self, name: str) -> None:
        """Remove the object; raises NotFound when there is none. Durable on return."""
        ...

    def sweep(self) -> int:
        """Remove what interrupted puts left behind and nothing of a put that still runs; how many."""
        ...

    def settle(self, prefix: str) -> None:
        """Make durable what is listed under ``prefix``, a folder, and what is not any more; or one object:
        whoever changed it may have died before it was.
        """
        ...

    def free_bytes(self) -> int | None:
        """Room left, None when the store cannot tell."""
        ...


@runtime_checkable
class LockingStore(Protocol):
    """A store that can keep objects from being deleted, by anybody, until a time by its own clock."""

    @property
    def lock_period(self) -> timedelta | None:
        """Points are locked so long from their commit, with all they need; None: nothing is locked.

        What is put is locked a quarter longer at once, so that not every backup has to extend it.
        """
        ...

    def locked_until(self, name: str) -> datetime | None:
        """None when the object is not locked; raises NotFound."""
        ...

    def extend_lock(self, name: str, until: datetime) -> None:
        """Locked until then at least; a lock is never shortened. Raises NotFound."""
        ...


@dataclass(frozen=True, slots=True)
class HiddenObject:
    """An object that was deleted and is kept all the same, out of sight, ``since`` that time (UTC)."""

    name: str
    since: datetime


@runtime_checkable
class HidingStore(Protocol):
    """A store in which what is deleted may only be hidden: by us, or by somebody who could do no more."""

    def hides(self) -> bool:
        """Whether what is deleted from now on may only be hidden, and looks as if anybody had done that."""
        ...

    def hidden(self, prefix: str) -> Iterator[HiddenObject]:
        """Every hidden object whose name starts with ``prefix``; raises PermissionDenied."""
        ...

    def uncover(self, name: str) -> None:
        """Let a hidden object be seen as it was; raises NotFound when it is not kept, PermissionDenied."""
        ...

    def hidden_lock(self, name: str) -> datetime | None:
        """Until when what ``uncover`` would show is locked; None when it is not.

        Raises NotFound when it is not kept, PermissionDenied.
        """
        ...


MOST_LENT: Final = 8 << 20
"""Bytes of a range that is borrowed."""
WORTH_BORROWING: Final = 256 << 10


@runtime_checkable
class LendingStore(Protocol):
    """A store that can give bytes out in memory it uses again and again."""

    def lend(self, name: str, offset: int, length: int) -> AbstractContextManager[memoryview]:
        """As ``Store.get``, which it raises like; the bytes are gone when the block is left."""
        ...


@contextmanager
def borrowed(store: Store, stored: StoredObject) -> Iterator[memoryview]:
    """All of an object, in memory that is used again where the store can; gone when the block is left."""
    if stored.size >= WORTH_BORROWING and isinstance(store, LendingStore):
        with store.lend(stored.name, 0, stored.size) as data:
            yield data
    else:
        yield memoryview(store.get(stored.name))
