"""Where copies can go."""

import threading
from collections.abc import Callable

from services.chassis.clock import Clock
from services.mover.adapters.pace import Pace
from services.mover.adapters.paced_store import PacedStore
from services.mover.adapters.stores import Stores
from services.mover.domain.rates import RateLimits
from services.mover.repository import Store


class StoreCopyTargets:
    """``ports.copies.CopyTargets``: the places that repositories can be in."""

    def __init__(self, stores: Stores, clock: Clock) -> None:
        self._stores, self._clock = stores, clock

    def location(self, url: str) -> str:
        return self._stores.location(url)

    def open(
        self,
        url: str,
        repository_id: str,
        limits: RateLimits,
        cancel: threading.Event,
        on_notice: Callable[[str, str], None],
    ) -> Store:
        store = self._stores.open(url, create=True, on_notice=on_notice)
        return PacedStore(store, Pace(limits, self._clock, cancel))
