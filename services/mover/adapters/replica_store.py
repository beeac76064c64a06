"""A copy at a mover of another site, as a store: for threads, while the event loop talks."""

import asyncio
import concurrent.futures
import hashlib
import threading
from collections.abc import Coroutine, Iterator, Sequence
from typing import Any, Final, TypeVar

from services.chassis.errors import Cancelled, DataLoss
from services.mover.adapters.grpc_replica import GrpcReplica
from services.mover.adapters.pace import Pace
from services.mover.repository import StoredObject
from services.mover.repository.format.names import PACKS, parse_pack_name
from services.mover.repository.store import require_possible
from services.mover.repository.types import Bytes

T = TypeVar("T")
_LOOK_SECONDS: Final = 0.5
_LOOKS: Final = 10
"""What is small may still get through: a lease that is given back, for example."""


class ReplicaStore:
    """``repository.Store``. Packs are sent at ``pace``; nothing can be removed but leases."""

    def __init__(
        self,
        replica: GrpcReplica,
        location: str,
        loop: asyncio.AbstractEventLoop,
        pace: Pace,
        unlimited: Pace,
        cancel: threading.Event,
    ) -> None:
        self._replica, self._location, self._loop = replica, location, loop
        self._pace, self._unlimited, self._cancel = pace, unlimited, cancel

    @property
    def location(self) -> str:
        return self._location

    def put(self, name: str, parts: Sequence[Bytes]) -> None:
        data = memoryview(parts[0] if len(parts) == 1 else b"".join(parts)).cast("B")
        pace = self._pace if name.startswith(PACKS) else self._unlimited
        named = parse_pack_name(name)  # what is not what it is named by is refused there
        sha256 = named[1] if named else hashlib.sha256(data).digest()
        self._ask(self._replica.put(name, data, sha256, pace), looks=0)

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        data = self._ask(self._replica.read(name))
        end = len(data) if length is None else offset + length
        require_possible(name, end - offset)
        if max(offset, end) > len(data):
            raise DataLoss(
                f"{name} is shorter than expected.", reason="OBJECT_SHORT", metadata={"object": name}
            )
        return data[offset:end]

    def size(self, name: str) -> int:
        return self._ask(self._replica.size(name))

    def list(self, prefix: str) -> Iterator[StoredObject]:
        return iter(self._ask(self._replica.list(prefix)))

    def delete(self, name: str) -> None:
        """Raises PermissionDenied for all but leases: that is the peer's law."""
        self._ask(self._replica.release(name))

    def sweep(self) -> int:
        """The peer sweeps when it is asked where the copy stands."""
        self.free_bytes()
        return 0

    def settle(self, prefix: str) -> None:
        """The peer says of nothing that it is there unless it is for good."""

    def free_bytes(self) -> int | None:
        return self._ask(self._replica.free_bytes()) or None

    def _ask(self, question: Coroutine[Any, Any, T], looks: int = _LOOKS) -> T:
        """The answer; once the copy is cancelled it is only waited for ``looks`` times more."""
        asked = asyncio.run_coroutine_threadsafe(question, self._loop)
        while True:
            try:
                return asked.result(_LOOK_SECONDS)
            except concurrent.futures.CancelledError:
                raise Cancelled("The mover stops.", reason="MOVER_STOPS") from None
            except TimeoutError:
                if asked.done():
                    raise
                if self._cancel.is_set():
                    looks -= 1
                if looks < 0:
                    asked.cancel()
                    raise Cancelled(
                        "The copy was cancelled.",
                        reason="COPY_CANCELLED",
                        hint="Start it again if needed: what was sent is not sent again.",
                    ) from None
