"""The law of ``Store``, for every implementation."""

import os
import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from mmap import mmap
from pathlib import Path

import pytest

from services.chassis.clock import SystemClock
from services.chassis.errors import AlreadyExists, DataLoss, NotFound, PermissionDenied
from services.mover.adapters.pace import Pace, SharedLine
from services.mover.adapters.paced_store import PacedStore
from services.mover.domain.rates import UNLIMITED
from services.mover.repository import DirectoryStore, MemoryStore, Store
from services.mover.repository.probing import StoreFacts
from services.mover.repository.store import LendingStore
from services.mover.repository.stores.append_only import AppendOnlyStore
from services.mover.repository.stores.asked_ahead import AskedAhead
from services.mover.repository.stores.forwarding import ForwardingStore
from services.mover.repository.stores.s3 import S3Store
from tests.faults.repository.faulty_store import FaultyStore
from tests.support.moto import Moto
from tests.support.moto import moto as moto
from tests.support.seaweed import Seaweed

S3, MOTO = "s3", "s3 of moto, a few keys a page"


def _asked_ahead() -> Store:
    store = AskedAhead(MemoryStore())
    store.ask(("", "a/", "packs/", "points/"), ("x", "points/p1", "packs/large"))
    return store


MAKERS: dict[str, Callable[[Path], Store]] = {
    "asked ahead": lambda path: _asked_ahead(),
    "forwarding": lambda path: ForwardingStore(DirectoryStore(path / "store", create=True)),
    "directory": lambda path: DirectoryStore(path / "store", create=True),
    "memory": lambda path: MemoryStore(),
    "faulty": lambda path: FaultyStore(MemoryStore()),
    "paced": lambda path: PacedStore(
        DirectoryStore(path / "store", create=True),
        Pace(UNLIMITED, SharedLine(SystemClock()), threading.Event()),
    ),
}


LENDING = [*(each for each in sorted(MAKERS) if each != "memory"), S3, MOTO]


@pytest.fixture(scope="module")
def moto_bucket(moto: Moto) -> Callable[[str], Store]:
    """By prefix, in one bucket."""
    moto.client("contract").close()
    place = moto.place("contract")
    return lambda prefix: S3Store(replace(place, prefix=f"{prefix}/"), credentials=moto.credentials)


@pytest.fixture(params=[*sorted(MAKERS), S3, MOTO])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == MOTO:
        return request.getfixturevalue("moto_bucket")(tmp_path.name)  # type: ignore[no-any-return]
    if request.param == S3:
        seaweed: Seaweed = request.getfixturevalue("seaweed")
        return seaweed.store(tmp_path.name)
    return MAKERS[request.param](tmp_path)


def test_what_was_put_can_be_got(store: Store) -> None:
    store.put("points/p1", [b"hello ", bytearray(b"big "), memoryview(b"world")])
    assert store.get("points/p1") == b"hello big world"
    assert store.size("points/p1") == 15


def test_empty_objects_are_objects(store: Store) -> None:
    store.put("a/empty", [])
    assert store.get("a/empty") == b""
    assert [stored.name for stored in store.list("a/")] == ["a/empty"]


@pytest.mark.parametrize(
    ("offset", "length", "expected"), [(0, 3, b"abc"), (2, 2, b"cd"), (4, None, b"ef"), (6, 0, b"")]
)
def test_a_range_is_exact(store: Store, offset: int, length: int | None, expected: bytes) -> None:
    store.put("x", [b"abcdef"])
    assert store.get("x", offset, length) == expected


@pytest.mark.parametrize("size", [(256 << 10) - 1, 256 << 10, (4 << 20) + 4096, (5 << 20) + 777])
def test_a_large_object_is_exact_wherever_it_is_read(store: Store, size: int) -> None:
    content = random.Random(size).randbytes(size)
    aligned = mmap(-1, size)
    aligned[:] = content
    store.put("packs/large", [memoryview(aligned)[:-100], content[-100:]])
    for offset, length in ((0, None), (0, size), (1, size - 1), (4095, 256 << 10), (4096, size - 4096)):
        expected = content[offset:] if length is None else content[offset : offset + length]
        if len(expected) == (length or len(expected)):
            assert store.get("packs/large", offset, length) == expected
    with pytest.raises(DataLoss, match="large"):
        store.get("packs/large", 1, size)


@pytest.mark.parametrize(("offset", "length"), [(0, 7), (5, 2), (7, None)])
def test_a_short_object_is_damage_and_not_a_short_answer(
    store: Store, offset: int, length: int | None
) -> None:
    store.put("x", [b"abcdef"])
    with pytest.raises(DataLoss, match="x"):
        store.get("x", offset, length)


def test_a_name_is_taken_once(store: Store) -> None:
    store.put("points/p1", [b"first"])
    with pytest.raises(AlreadyExists, match="points/p1"):
        store.put("points/p1", [b"second"])
    assert store.get("points/p1") == b"first"


@pytest.mark.parametrize("store", LENDING, indirect=True)
def test_what_is_lent_is_what_would_be_got(store: Store) -> None:
    assert isinstance(store, LendingStore)
    content = random.Random(1).randbytes((9 << 20) + 777)
    store.put("packs/large", [content])
    for offset, length in ((0, 10), (0, len(content)), (1, 5 << 20), (4095, 256 << 10), (9 << 20, 777)):
        with store.lend("packs/large", offset, length) as one, store.lend("packs/large", 5, 4096) as other:
            assert content[offset : offset + length] == one
            assert content[5:4101] == other
    for offset, length in ((0, len(content) + 1), (9 << 20, 778)):
        with pytest.raises(DataLoss, match="shorter"), store.lend("packs/large", offset, length):
            pass
    with pytest.raises(NotFound), store.lend("packs/none", 0, 1):
        pass


class _Lockable(MemoryStore):
    """Can lock objects, lends, and tells of itself."""

    lock_period = timedelta(days=1)

    def __init__(self) -> None:
        super().__init__()
        self.locked: dict[str, datetime] = {}

    def locked_until(self, name: str) -> datetime | None:
        return self.locked.get(name)

    def extend_lock(self, name: str, until: datetime) -> None:
        self.locked[name] = until

    def facts(self) -> StoreFacts:
        return StoreFacts(versioned=True, object_lock=True, clock_ahead=None)

    def lend(self, name: str, offset: int, length: int) -> AbstractContextManager[memoryview]:
        return nullcontext(memoryview(b"lent"))


@pytest.mark.parametrize(
    "decorated",
    [
        AppendOnlyStore,
        AskedAhead,
        FaultyStore,
        lambda inner: PacedStore(inner, Pace(UNLIMITED, SharedLine(SystemClock()), threading.Event())),
    ],
)
def test_whatever_stands_before_a_store_passes_on_what_that_can_do(
    decorated: Callable[[Store], ForwardingStore],
) -> None:
    able, plain = decorated(_Lockable()), decorated(MemoryStore())
    assert (able.lock_period, plain.lock_period) == (timedelta(days=1), None)
    until = datetime(2026, 1, 1, tzinfo=UTC)
    for store in (able, plain):
        store.put("x", [b"abcdef"])
        store.extend_lock("x", until)
    assert (able.locked_until("x"), plain.locked_until("x")) == (until, None)
    assert (able.facts(), plain.facts()) == (StoreFacts(True, True, None), None)
    with able.lend("x", 1, 2) as lent, plain.lend("x", 1, 2) as got:
        assert (bytes(lent), bytes(got)) == (b"lent", b"bc")


def test_an_append_only_store_is_a_store_that_deletes_nothing(tmp_path: Path) -> None:
    inner = DirectoryStore(tmp_path)
    store = AppendOnlyStore(inner)
    store.put("a/b", [b"content"])
    with pytest.raises(AlreadyExists):
        store.put("a/b", [b"other"])
    with pytest.raises(PermissionDenied, match="a/b"):
        store.delete("a/b")
    with pytest.raises(NotFound, match="a/none"):
        store.delete("a/none")
    (tmp_path / "a" / ".tmp-dead").write_bytes(b"half")
    assert 0 == store.sweep() and (tmp_path / "a" / ".tmp-dead").exists()
    assert b"content" == store.get("a/b") == inner.get("a/b")


def test_locks_are_told_extended_and_never_shortened(seaweed: Seaweed, tmp_path: Path) -> None:
    locking = seaweed.locking(tmp_path.name, "1m")
    for store in (locking, ForwardingStore(locking)):
        name = f"packs/{type(store).__name__.lower()}"
        store.put(name, [b"content"])
        first = store.locked_until(name)
        assert first is not None
        longer = first + timedelta(seconds=30)
        store.extend_lock(name, longer)
        assert longer == store.locked_until(name)
        store.extend_lock(name, first)
        assert longer == store.locked_until(name)
        with pytest.raises(PermissionDenied, match="is locked until"):
            store.delete(name)
        store.put("leases/p", [b"not locked"])
        assert store.locked_until("leases/p") is None
        store.delete("leases/p")
        for ask in (store.locked_until, lambda name: store.extend_lock(name, longer)):  # noqa: B023
            with pytest.raises(NotFound, match="packs/none"):
                ask("packs/none")


def test_what_is_hidden_is_told_and_uncovered(moto: Moto, tmp_path: Path) -> None:
    thief = moto.client("hiding-contract")
    direct = moto.store("hiding-contract")
    for store in (direct, ForwardingStore(direct), AppendOnlyStore(direct)):
        name = f"points/{type(store).__name__.lower()}"
        store.put(name, [b"content"])
        assert store.hides() and [] == list(store.hidden("points/"))
        thief.delete_object(Bucket="hiding-contract", Key=f"here/{name}")
        assert [name] == [each.name for each in store.hidden("points/")]
        assert store.hidden_lock(name) is None
        store.uncover(name)
        assert b"content" == store.get(name)
        for ask in (store.uncover, store.hidden_lock):
            with pytest.raises(NotFound, match="points/none"):
                ask("points/none")
    thief.close()


@pytest.mark.parametrize("verb", ["get", "size", "delete"])
def test_a_missing_object_is_named(store: Store, verb: str) -> None:
    with pytest.raises(NotFound, match="points/none"):
        getattr(store, verb)("points/none")


def test_a_deleted_object_is_gone_and_its_name_free(store: Store) -> None:
    store.put("a/b/c", [b"1"])
    store.delete("a/b/c")
    with pytest.raises(NotFound):
        store.get("a/b/c")
    store.put("a/b/c", [b"2"])
    assert store.get("a/b/c") == b"2"


def test_a_listing_is_by_prefix_and_tells_sizes(store: Store) -> None:
    for name in ("packs/data/aa/1", "packs/meta/bb/22", "points/p1", "top"):
        store.put(name, [name[-1:].encode() * len(name)])
    assert {(s.name, s.size) for s in store.list("packs/")} == {
        ("packs/data/aa/1", 15),
        ("packs/meta/bb/22", 16),
    }
    assert {s.name for s in store.list("")} == {"packs/data/aa/1", "packs/meta/bb/22", "points/p1", "top"}
    assert [s.name for s in store.list("packs/da")] == ["packs/data/aa/1"]
    assert list(store.list("nothing/")) == []


def test_of_many_creators_of_one_name_one_wins(store: Store) -> None:
    outcomes: list[bytes] = []

    def create(content: bytes) -> None:
        try:
            store.put("contested", [content])
        except AlreadyExists:
            return
        outcomes.append(content)

    threads = [threading.Thread(target=create, args=(bytes([n]) * 1000,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 1
    assert store.get("contested") == outcomes[0]


def test_an_object_that_comes_to_be_is_seen_whole_or_not_at_all(store: Store) -> None:
    content = random.Random(2).randbytes(2 << 20)
    made = threading.Event()
    seen: list[bytes] = []

    def look() -> None:
        while not seen or not made.is_set():
            listed = {stored.name: stored.size for stored in store.list("packs/")}
            assert listed in ({}, {"packs/new": len(content)})
            is_there = made.is_set()
            try:
                seen.append(store.get("packs/new"))
                assert store.size("packs/new") == len(content)
            except NotFound:
                if is_there:
                    raise

    with ThreadPoolExecutor(2) as pool:
        looking = [pool.submit(look) for _ in range(2)]
        store.put("packs/new", [content[:100], content[100:]])
        made.set()
        for each in looking:
            each.result()
    assert {content} == set(seen)


def test_a_store_tells_where_it_is_and_how_much_room_there_is(store: Store) -> None:
    assert store.location and store.location == store.location.strip()
    assert not any(secret in store.location for secret in ("admin-key", "admin-secret", "aws_secret"))
    free = store.free_bytes()
    assert free is None or free > 0


def test_a_sweep_leaves_every_object(store: Store) -> None:
    store.put("a/b", [os.urandom(100)])
    store.sweep()
    assert store.size("a/b") == 100


@pytest.mark.parametrize("prefix", ["a/", "none/"])
def test_what_is_settled_is_there(store: Store, prefix: str) -> None:
    store.put("a/b", [b"x"])
    store.settle(prefix)
    assert store.get("a/b") == b"x"
