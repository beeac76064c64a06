"""Questions that are asked before anybody needs the answers."""

import threading

import pytest

from services.chassis.errors import NotFound
from services.mover.repository import MemoryStore
from services.mover.repository.stores.asked_ahead import AskedAhead
from tests.faults.repository.faulty_store import FaultyStore


def test_what_was_asked_is_asked_once_and_all_at_once() -> None:
    inner, together = MemoryStore(), threading.Barrier(3, timeout=60)
    inner.objects |= {"points/a": b"a", "keys/one": b"slot"}
    asked: list[tuple[str, str]] = []

    def fault(verb: str, name: str) -> None:
        asked.append((verb, name))
        together.wait()

    with AskedAhead(FaultyStore(inner, fault=fault)) as store:
        store.ask(("points/", "keys/"), ("keys/one",))
        for _ in range(2):
            assert ["points/a"] == [stored.name for stored in store.list("points/")]
            assert ["keys/one"] == [stored.name for stored in store.list("keys/")]
            assert b"slot" == store.get("keys/one") and 4 == store.size("keys/one")
    assert [("get", "keys/one"), ("list", "keys/"), ("list", "points/")] == sorted(asked)


def test_an_answer_holds_until_it_is_forgotten_or_changed_or_something_of_it_is_gone() -> None:
    inner = MemoryStore()

    def names(prefix: str) -> list[str]:
        return sorted(stored.name for stored in store.list(prefix))

    with AskedAhead(inner) as store:
        store.ask(("points/", "index/"))
        assert [] == names("points/") == names("index/")
        inner.put("points/a", [b"by somebody else"])
        inner.put("index/a", [b"by somebody else"])
        assert [] == names("points/")
        store.put("points/b", [b"by us"])
        assert ["points/a", "points/b"] == names("points/")
        assert [] == names("index/")
        store.forget()
        assert ["index/a"] == names("index/")
        store.ask(("points/", "index/"))
        assert ["index/a"] == names("index/") and 2 == len(names("points/"))
        inner.delete("index/a")
        with pytest.raises(NotFound):
            store.get("index/a")
        assert [] == names("index/")
        inner.delete("points/a")
        store.delete("points/b")
        assert [] == names("points/")


def test_what_is_not_there_is_told_to_whoever_asks_for_it() -> None:
    with AskedAhead(MemoryStore()) as store:
        store.ask((), ("x",))
        with pytest.raises(NotFound):
            store.size("x")
        store.put("x", [b"now"])
        assert b"now" == store.get("x")
