"""A mover that keeps copies and dies at a step: then nothing happens until another one takes its place."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from services.chassis.clock import SystemClock
from services.chassis.errors import Unavailable
from services.mover.adapters.stores import Stores
from services.mover.app.arrivals import Arrival, Arrivals
from services.mover.app.guests import Guests
from services.mover.app.replicas import Replicas
from services.mover.repository import Store
from services.mover.repository.types import Bytes
from tests.faults.repository.faulty_store import FaultyStore


class Mortal:
    """Counts steps, and dies at one; ``at`` 0 lives. Safe from any thread."""

    def __init__(self, at: int, died: Callable[[], object] = lambda: None) -> None:
        self._at, self._died = at, died
        self._lock = threading.Lock()
        self.count = 0
        self.dead = False

    def step(self) -> None:
        with self._lock:
            self.count += not self.dead
            dies = not self.dead and self.count == self._at
            self.dead |= dies
        if dies:
            self._died()
        if self.dead:
            raise Unavailable("The receiving mover was killed.", reason="KILLED")

    def around(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """``call`` with a step before and one after it."""

        def wrapped(*args: Any) -> Any:
            self.step()
            result = call(*args)
            self.step()
            return result

        return wrapped


class _MortalArrivals(Arrivals):
    def __init__(self, folder: Path, mortal: Mortal) -> None:
        super().__init__(folder, SystemClock())
        self._mortal = mortal

    def begin(self, repository_id: str, size: int, sha256: bytes) -> Arrival:
        self._mortal.step()
        arrival = super().begin(repository_id, size, sha256)
        for name in ("take", "content", "forget"):
            setattr(arrival, name, self._mortal.around(getattr(arrival, name)))
        return arrival


class _MortalStore(FaultyStore):
    def __init__(self, inner: Store, mortal: Mortal) -> None:
        super().__init__(inner, fault=lambda _verb, _name: mortal.step())
        self._mortal = mortal

    def put(self, name: str, parts: Sequence[Bytes]) -> None:
        super().put(name, parts)
        self._mortal.step()


class _MortalPlaces:
    def __init__(self, mortal: Mortal) -> None:
        self._stores, self._mortal = Stores(), mortal

    def location(self, url: str) -> str:
        return self._stores.location(url)

    def open(
        self, url: str, *, create: bool = False, on_notice: Callable[[str, str], None] | None = None
    ) -> Store:
        return _MortalStore(self._stores.open(url, create=create), self._mortal)


def mortal_replicas(copies: Path, arriving: Path, mortal: Mortal) -> Replicas:
    """Whose steps are messages that are taken, files that are read back, and what is asked of the store."""
    return Replicas(
        _MortalPlaces(mortal), copies.as_uri(), _MortalArrivals(arriving, mortal), Guests(SystemClock())
    )
