"""A store that fails on request: at any step, by crash, by error, or by lying."""

import threading
from collections.abc import Callable, Iterator, Sequence

from services.mover.repository.store import Store, StoredObject
from services.mover.repository.types import Bytes


class Crash(BaseException):
    """The process died here: nothing after this line happened, and no later call does anything."""


class FaultyStore:
    """Decorates a store. Every mutating call is two steps: before it, and after it but before its answer.

    ``crash_at`` is the step at which the process dies; ``fault(verb, name)`` may raise in place of a call.
    """

    def __init__(
        self,
        inner: Store,
        *,
        crash_at: int | None = None,
        fault: Callable[[str, str], None] | None = None,
    ) -> None:
        self._inner = inner
        self._crash_at = crash_at
        self._fault = fault
        self._lock = threading.Lock()
        self._dead = False
        self.steps: list[str] = []

    @property
    def location(self) -> str:
        return self._inner.location

    def put(self, name: str, parts: Sequence[Bytes]) -> None:
        self._step(f"put {name}", "put", name)
        self._inner.put(name, parts)
        self._step(f"done put {name}")

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        self._live("get", name)
        return self._inner.get(name, offset, length)

    def size(self, name: str) -> int:
        self._live("size", name)
        return self._inner.size(name)

    def list(self, prefix: str) -> Iterator[StoredObject]:
        self._live("list", prefix)
        return self._inner.list(prefix)

    def delete(self, name: str) -> None:
        self._step(f"delete {name}", "delete", name)
        self._inner.delete(name)
        self._step(f"done delete {name}")

    def sweep(self) -> int:
        self._live("sweep", "")
        return self._inner.sweep()

    def settle(self, prefix: str) -> None:
        self._live("settle", prefix)
        self._inner.settle(prefix)

    def free_bytes(self) -> int | None:
        return self._inner.free_bytes()

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
