"""A store to which packs are sent no faster than allowed."""

from collections.abc import Sequence

from services.mover.adapters.pace import Pace
from services.mover.repository import Store
from services.mover.repository.format.names import PACKS
from services.mover.repository.stores.forwarding import ForwardingStore
from services.mover.repository.types import Bytes


class PacedStore(ForwardingStore):
    """A pack waits before it goes. Everything else is small, and may be urgent."""

    def __init__(self, inner: Store, pace: Pace) -> None:
        super().__init__(inner)
        self._pace = pace

    def put(self, name: str, parts: Sequence[Bytes]) -> None:
        if name.startswith(PACKS):
            self._pace.wait(sum(len(part) for part in parts))
        super().put(name, parts)
