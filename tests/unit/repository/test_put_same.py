"""A put that finds its name taken: repeated by us, or another's."""

import pytest

from services.chassis.errors import AlreadyExists
from services.mover.repository import MemoryStore
from services.mover.repository.objects import put_same


class Vanishing(MemoryStore):
    """Whoever took the name removes the object before it can be looked at."""

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        self.delete(name)
        return super().get(name, offset, length)


def test_the_same_bytes_once_more_are_success() -> None:
    store = MemoryStore()
    put_same(store, "a", [b"one"])
    put_same(store, "a", [b"o", b"ne"])
    assert b"one" == store.get("a")


def test_what_is_there_already_is_made_durable_before_it_counts() -> None:
    """Whoever wrote it may have died just before it was."""
    settled: list[str] = []

    class Unsynced(MemoryStore):
        def settle(self, prefix: str) -> None:
            settled.append(prefix)

    store = Unsynced()
    put_same(store, "a", [b"one"])
    assert [] == settled
    put_same(store, "a", [b"one"])
    assert ["a"] == settled


@pytest.mark.parametrize("store", [MemoryStore(), Vanishing()], ids=["there", "gone since"])
def test_what_another_wrote_is_not_ours(store: MemoryStore) -> None:
    store.put("a", [b"another's"])
    with pytest.raises(AlreadyExists):
        put_same(store, "a", [b"ours"])
