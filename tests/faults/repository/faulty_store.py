"""A store that fails on request: at any step, by crash, by error, or by lying."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager

from services.mover.repository.store import LendingStore, Store, StoredObject
from services.mover.repository.stores.forwarding import ForwardingStore
from services.mover.repository.types import Bytes


class Crash(BaseException):
    """The process died here: nothing after this line happened, and no later call does anything."""


class FaultyStore(ForwardingStore):
    """Every mutating call is two steps: before it, and after it but before its answer.

    ``crash_at`` is the step at which the process dies; ``fault(verb, name)`` may raise in place of a call.
    What is lent is a ``get``.
    """

    def __init__(
        self,
        inner: Store,
        *,
        crash_at: int | None = None,
        fault: Callable[[str, str], None] | None = None,
    ) -> None:
        super().__init__(inner)
        self._crash_at = crash_at
        self._fault = fault
        self._lock = threading.Lock()
        self._dead = False
        self.steps: list[str] = []

    def put(self, name: str, parts: Sequence[Bytes]) -> None:
        self._step(f"put {name}", "put", name)
        super().put(name, parts)
        self._step(f"done put {name}")

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        self._live("get", name)
        return super().get(name, offset, length)

    def lend(self, name: str, offset: int, length: int) -> AbstractContextManager[memoryview]:
        if isinstance(self._inner, LendingStore):
            self._live("get", name)
        return super().lend(name, offset, length)

    def size(self, name: str) -> int:
        self._live("size", name)
        return super().size(name)

    def list(self, prefix: str) -> Iterator[StoredObject]:
        self._live("list", prefix)
        return super().list(prefix)

    def delete(self, name: str) -> None:
        self._step(f"delete {name}", "delete", name)
        super().delete(name)
        self._step(f"done delete {name}")

    def sweep(self) -> int:
        self._live("sweep", "")
        return super().sweep()

    def settle(self, prefix: str) -> None:
        self._live("settle", prefix)
        super().settle(prefix)

    def _live(self, verb: str, name: str) -> None:
        if self._dead:
            raise Crash
        if self._fault is not None:
            self._fault(verb, name)

    def _step(self, step: str, verb: str = "", name: str = "") -> None:
        with self._lock:
            if self._dead or len(self.steps) == self._crash_at:
                self._dead = True
                raise Crash
            self.steps.append(step)
        if verb:
            self._live(verb, name)
