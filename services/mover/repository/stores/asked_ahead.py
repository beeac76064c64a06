"""A store that is far away: what will be asked one after the other is asked at once."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final, Self

from services.chassis.errors import NotFound
from services.mover.repository.store import Store, StoredObject
from services.mover.repository.stores.forwarding import ForwardingStore
from services.mover.repository.types import Bytes

_AT_ONCE: Final = 16


class AskedAhead(ForwardingStore):
    """What was asked by ``ask`` is answered from that, and so as old as the question; everything else goes to
    ``inner``.

    Answers hold until ``forget``, until something of them is changed here, and until something of them turns
    out to be gone. A context manager: in the end it waits for answers that nobody wanted.
    """

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="ahead")
        self._lists: dict[str, Future[Sequence[StoredObject]]] = {}
        self._objects: dict[str, Future[bytes]] = {}

    def ask(self, prefixes: Iterable[str], names: Iterable[str] = ()) -> None:
        """List these prefixes and read these objects, which are small and which may not be there."""
        for prefix in prefixes:
            self._lists[prefix] = self._pool.submit(self._listed, prefix)
        for name in names:
            self._objects[name] = self._pool.submit(self._inner.get, name)

    def forget(self) -> None:
        """From now on everything is asked when it is asked."""
        self._lists.clear()
        self._objects.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def put(self, name: str, parts: Sequence[Bytes]) -> None:
        self._changes(name)
        super().put(name, parts)

    def delete(self, name: str) -> None:
        self._changes(name)
        super().delete(name)

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        asked = self._objects.get(name) if offset == 0 and length is None else None
        with self._noticing(name):
            return super().get(name, offset, length) if asked is None else asked.result()

    def size(self, name: str) -> int:
        asked = self._objects.get(name)
        with self._noticing(name):
            return super().size(name) if asked is None else len(asked.result())

    def list(self, prefix: str) -> Iterator[StoredObject]:
        asked = self._lists.get(prefix)
        return super().list(prefix) if asked is None else iter(asked.result())

    def _listed(self, prefix: str) -> Sequence[StoredObject]:
        return [*self._inner.list(prefix)]

    @contextmanager
    def _noticing(self, name: str) -> Iterator[None]:
        try:
            yield
        except NotFound:
            for prefix, asked in [*self._lists.items()]:
                if name.startswith(prefix) and any(each.name == name for each in asked.result()):
                    self._lists.pop(prefix, None)
            raise

    def _changes(self, name: str) -> None:
        self._objects.pop(name, None)
        for prefix in [each for each in [*self._lists] if name.startswith(each)]:
            self._lists.pop(prefix, None)
