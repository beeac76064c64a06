"""A mover that keeps a copy says of nothing that it is there unless it is there for good."""

from pathlib import Path

from services.chassis.clock import FakeClock
from services.mover.app.arrivals import Arrivals
from services.mover.app.guests import Guests
from services.mover.app.replicas import Replicas
from services.mover.app.store_news import Tell
from services.mover.repository import MemoryStore, Store
from services.mover.repository.format.names import pack_name

ID = "ab" * 16
PACK = pack_name("data", bytes(32))


class Unsynced(MemoryStore):
    """Remembers what was made durable."""

    def __init__(self) -> None:
        super().__init__()
        self.settled: list[str] = []

    def settle(self, prefix: str) -> None:
        self.settled.append(prefix)


class OnePlace:
    def __init__(self, store: Store) -> None:
        self._store = store

    def location(self, url: str) -> str:
        return url

    def open(self, url: str, *, create: bool = False, on_notice: Tell | None = None) -> Store:
        return self._store


async def test_what_an_earlier_mover_may_have_left_unsynced_is_made_durable_before_it_counts(
    tmp_path: Path,
) -> None:
    store, clock = Unsynced(), FakeClock()
    store.objects = {"points/a": b"point", PACK: b"pack"}
    replicas = Replicas(OnePlace(store), "file:///copies", Arrivals(tmp_path, clock), Guests(clock))
    assert 4 == await replicas.size(ID, PACK)
    assert [PACK] == store.settled
    listed = [found.name async for some in replicas.objects(ID, "points/") for found in some]
    assert (["points/a"], [PACK, "points/"]) == (listed, store.settled)
    missing = pack_name("data", bytes([1]) * 32)
    assert {PACK: 4, "points/a": 5} == await replicas.sizes(ID, [PACK, missing, "points/a"])
    assert [PACK, "points/a"] == store.settled[2:]
