"""Copies of other sites' repositories, kept without a key."""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from functools import partial
from itertools import islice
from typing import Final, TypeVar
from urllib.parse import urlsplit

from services.chassis.errors import (
    AlreadyExists,
    DataLoss,
    FailedPrecondition,
    InvalidInput,
    NotFound,
    PermissionDenied,
    XenkeepError,
)
from services.mover.app.arrivals import IN_MEMORY_BYTES, Arrival, Arrivals
from services.mover.app.guests import Guests
from services.mover.app.shelf import Places
from services.mover.domain.replica import (
    ASKED_TOGETHER,
    SENT_TOGETHER,
    SMALL_BYTES,
    Announced,
    Outcome,
    Small,
    Taken,
)
from services.mover.repository import Store, StoredObject
from services.mover.repository.copying.admission import kind_of, require_size, require_whole
from services.mover.repository.format.names import LEASES, PACKS, parse_pack_name
from services.mover.repository.objects import put_same

T = TypeVar("T")
R = TypeVar("R")
_ID: Final = re.compile(r"[0-9a-f]{32}")
_SHA256_BYTES: Final = 32
_LISTED_TOGETHER: Final = 500
_READ_TOGETHER: Final = 1 << 20
_AT_ONCE: Final = 8
_READ_BACK_AT_ONCE: Final = 4
"""Whole objects in memory, be they as large as an object can be."""


class Replicas:
    """One method per verb. Nothing of a copy is ever deleted or replaced, but leases."""

    def __init__(self, places: Places, where: str | None, arrivals: Arrivals, guests: Guests) -> None:
        """``where`` is the place under which copies are kept, each in a folder of its repository's id;
        ``guests`` are the streams that bring objects.
        """
        self._places, self._where, self._arrivals, self.guests = places, where, arrivals, guests
        self._stores: dict[str, Store] = {}
        self._read_back = asyncio.Semaphore(_READ_BACK_AT_ONCE)

    async def free_bytes(self, repository_id: str) -> int:
        """Room for a copy of the repository; 0 when its place does not tell. Raises as every verb here:

        FailedPrecondition when this mover keeps no copies, InvalidInput for what is no repository's id.
        """
        store = await self._store(repository_id)
        await asyncio.to_thread(store.sweep)
        await asyncio.to_thread(self._arrivals.sweep)
        return await asyncio.to_thread(store.free_bytes) or 0

    async def objects(self, repository_id: str, prefix: str) -> AsyncIterator[Sequence[StoredObject]]:
        """What the copy holds for good, some at a time: of packs that is said of each alone, by ``size``."""
        store = await self._store(repository_id)
        await asyncio.to_thread(store.settle, _inside(prefix))
        found = store.list(prefix)
        while some := await asyncio.to_thread(lambda: list(islice(found, _LISTED_TOGETHER))):
            yield some

    async def size(self, repository_id: str, name: str) -> int:
        """Of what is there for good; raises NotFound."""
        store = await self._store(repository_id)
        return await asyncio.to_thread(_settled_size, store, _named(name))

    async def read(self, repository_id: str, name: str) -> AsyncIterator[tuple[int, bytes]]:
        """Offsets and bytes of an object that is no pack; raises NotFound, PermissionDenied."""
        store = await self._store(repository_id)
        if name.startswith(PACKS):
            raise PermissionDenied(
                "Packs are not given out again by whoever keeps a copy.",
                reason="REPLICA_PACK_KEPT",
                hint="Restore from the place the copy is in: xenkeep restore --repository.",
            )
        data = await asyncio.to_thread(store.get, _named(name))
        for offset in range(0, len(data), _READ_TOGETHER):
            yield offset, data[offset : offset + _READ_TOGETHER]

    async def put(self, what: Announced, parts: AsyncIterator[tuple[int, bytes]]) -> AsyncIterator[Taken]:
        """Take an object in; ``parts`` are its bytes from where the first answer says.

        Raises PermissionDenied for a name that no copy holds, DataLoss when it is not whole, and what the
        place raises. Whatever ends it, what was said to be durable need not be sent again.
        """
        require_size(what.name, what.size)
        if len(what.sha256) != _SHA256_BYTES:
            raise InvalidInput(
                f"{what.name} comes with no SHA-256.", reason="REPLICA_NO_HASH", hint="It has 32 bytes."
            )
        store = await self._store(what.repository_id)
        if await asyncio.to_thread(_is_there, store, what):
            await asyncio.to_thread(self._arrivals.drop, what.repository_id, what.sha256)
            yield Taken(what.size, Outcome.EXISTS)
            return
        arrival = await asyncio.to_thread(self._arrivals.begin, what.repository_id, what.size, what.sha256)
        try:
            yield Taken(arrival.durable)
            told = arrival.durable
            if not arrival.complete:
                async for offset, data in parts:
                    durable = await asyncio.to_thread(arrival.take, offset, data)
                    if arrival.complete:
                        break
                    if durable > told:
                        told = durable
                        yield Taken(durable)
            if arrival.complete:
                async with nullcontext() if what.size <= IN_MEMORY_BYTES else self._read_back:
                    outcome = await asyncio.to_thread(_keep, store, what, arrival)
                yield Taken(what.size, outcome)
        finally:
            await asyncio.shield(asyncio.to_thread(arrival.close))

    async def put_small(self, repository_id: str, objects: Sequence[Small]) -> Sequence[Outcome]:
        """Of each how it went; UNDER_WAY of what could not be taken in: ``put`` says why."""
        _require_few(len(objects), SENT_TOGETHER)
        store = await self._store(repository_id)
        with self.guests.one():
            return await asyncio.to_thread(_each, partial(_keep_small, store, repository_id), objects)

    async def sizes(self, repository_id: str, names: Sequence[str]) -> Mapping[str, int]:
        """As ``size`` of those that are there."""
        _require_few(len(names), ASKED_TOGETHER)
        store = await self._store(repository_id)
        found = await asyncio.to_thread(_settled_sizes, store, [_named(name) for name in names])
        await asyncio.to_thread(self._drop_arrived, repository_id, found)
        return found

    def _drop_arrived(self, repository_id: str, found: Mapping[str, int]) -> None:
        """A sender that died while its pack was being stored left what had arrived of it."""
        for name in found:
            if pack := parse_pack_name(name):
                self._arrivals.drop(repository_id, pack[1])

    async def release_all(self, repository_id: str, names: Sequence[str]) -> Sequence[str]:
        """As ``release``; those that were there."""
        _require_few(len(names), ASKED_TOGETHER)
        for name in names:
            _require_lease(name)
        store = await self._store(repository_id)
        gone = await asyncio.to_thread(_each, partial(_is_removed, store), names)
        return [name for name, was_there in zip(names, gone, strict=True) if was_there]

    async def release(self, repository_id: str, name: str) -> None:
        """Remove a lease; raises NotFound, and PermissionDenied for anything else."""
        _require_lease(name)
        store = await self._store(repository_id)
        await asyncio.to_thread(store.delete, name)

    async def _store(self, repository_id: str) -> Store:
        if self._where is None:
            raise FailedPrecondition(
                "This mover keeps no copies of other sites' repositories.",
                reason="REPLICAS_NOT_KEPT",
                hint="Set XENKEEP_REPLICAS there to the place to keep them in.",
            )
        if not _ID.fullmatch(repository_id):
            raise InvalidInput(
                f"{repository_id[:64]!r} is not the id of a repository.",
                reason="REPLICA_ID_INVALID",
                hint="It has 32 hexadecimal digits.",
            )
        if repository_id not in self._stores:
            parts = urlsplit(self._where)
            url = parts._replace(path=f"{parts.path.rstrip('/')}/{repository_id}").geturl()
            self._stores[repository_id] = await asyncio.to_thread(self._places.open, url, create=True)
        return self._stores[repository_id]


def _inside(prefix: str) -> str:
    """Raises InvalidInput for what leads out of the copy, or to a store's own files."""
    if any(part.startswith(".") for part in prefix.split("/")) or prefix.startswith("/") or "\0" in prefix:
        raise InvalidInput(
            f"{prefix[:200]!r} is not the name of an object.",
            reason="REPLICA_NAME_INVALID",
            hint="docs/repository-format.md has the names.",
        )
    return prefix


def _named(name: str) -> str:
    kind_of(name)
    return _inside(name)


def _require_few(count: int, most: int) -> None:
    if count > most:
        raise InvalidInput(
            f"{count} objects in one question are too many.",
            reason="REPLICA_TOO_MANY",
            hint=f"Ask for {most} at a time.",
        )


def _require_lease(name: str) -> None:
    if kind_of(name) != LEASES:
        raise PermissionDenied(
            f"{name} is not removed from a copy by whoever sends it.",
            reason="REPLICA_NOT_REMOVED",
            hint="Whoever keeps the copy decides what goes.",
        )


def _each(work: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """What is durable one by one is waited for a few at a time."""
    with ThreadPoolExecutor(min(_AT_ONCE, len(items) or 1), thread_name_prefix="small") as pool:
        return list(pool.map(work, items))


def _keep_small(store: Store, repository_id: str, small: Small) -> Outcome:
    """Whoever asks for it alone is told what is wrong with it, so nothing is passed over."""
    try:
        require_size(small.name, len(small.data))
        if len(small.data) > SMALL_BYTES or hashlib.sha256(small.data).digest() != small.sha256:
            return Outcome.UNDER_WAY
        what = Announced(repository_id, small.name, len(small.data), small.sha256)
        if _is_there(store, what):
            return Outcome.EXISTS
        require_whole(small.name, small.data, small.sha256, bytes.fromhex(repository_id))
        put_same(store, small.name, [small.data])
    except XenkeepError:
        return Outcome.UNDER_WAY
    return Outcome.STORED


def _settled_sizes(store: Store, names: Sequence[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for name in names:
        with suppress(NotFound):
            found[name] = store.size(name)
    for one_of_a_folder in {name.rpartition("/")[0]: name for name in found}.values():
        store.settle(one_of_a_folder)
    return found


def _is_removed(store: Store, name: str) -> bool:
    try:
        store.delete(name)
    except NotFound:
        return False
    return True


def _is_there(store: Store, what: Announced) -> bool:
    """Whether an object of this name and size is there, for good."""
    try:
        return _settled_size(store, what.name) == what.size
    except NotFound:
        return False


def _settled_size(store: Store, name: str) -> int:
    """Whoever brought it may have died before it was durable."""
    size = store.size(name)
    store.settle(name)
    return size


def _keep(store: Store, what: Announced, arrival: Arrival) -> Outcome:
    try:
        with arrival.content() as data:
            require_whole(what.name, data, what.sha256, bytes.fromhex(what.repository_id))
            put_same(store, what.name, [data])
    except (DataLoss, AlreadyExists):
        arrival.forget()
        raise
    arrival.forget()
    return Outcome.STORED
