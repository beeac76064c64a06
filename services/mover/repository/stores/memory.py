"""A store in memory: the fake of the contract suite, for tests and experiments."""

import threading
from collections.abc import Iterator, Sequence

from services.chassis.errors import AlreadyExists, DataLoss, NotFound
from services.mover.repository.store import StoredObject, require_possible
from services.mover.repository.types import Bytes


class MemoryStore:
    """Objects in a dictionary, which tests may damage at will through ``objects``."""

    def __init__(self, location: str = "memory:") -> None:
        self.objects: dict[str, bytes] = {}
        self._location = location
        self._lock = threading.Lock()

    @property
    def location(self) -> str:
        return self._location

    def put(self, name: str, parts: Sequence[Bytes]) -> None:
        data = b"".join(parts)
        with self._lock:
            if name in self.objects:
                raise AlreadyExists(
                    f"{name} exists already.", reason="OBJECT_EXISTS", metadata={"object": name}
                )
            self.objects[name] = data

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        data = self._object(name)
        end = len(data) if length is None else offset + length
        require_possible(name, end - offset)
        if offset > len(data) or end > len(data):
            raise DataLoss(
                f"{name} is shorter than expected.", reason="OBJECT_SHORT", metadata={"object": name}
            )
        return data[offset:end]

    def size(self, name: str) -> int:
        return len(self._object(name))

    def list(self, prefix: str) -> Iterator[StoredObject]:
        with self._lock:
            found = [StoredObject(n, len(data)) for n, data in self.objects.items() if n.startswith(prefix)]
        return iter(found)

    def delete(self, name: str) -> None:
        with self._lock:
            if self.objects.pop(name, None) is None:
                raise NotFound(f"{name} does not exist.", reason="OBJECT_MISSING", metadata={"object": name})

    def sweep(self) -> int:
        return 0

    def settle(self, prefix: str) -> None:
        """Nothing is durable here, and nothing more or less so."""

    def free_bytes(self) -> int | None:
        return None

    def _object(self, name: str) -> bytes:
        with self._lock:
            if name not in self.objects:
                raise NotFound(f"{name} does not exist.", reason="OBJECT_MISSING", metadata={"object": name})
            return self.objects[name]
