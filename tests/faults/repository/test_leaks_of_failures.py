"""What an operation takes, it gives back: also one that fails, is cancelled or is left half done."""

import contextlib
import gc
import shutil
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from services.chassis.errors import DataLoss, NotFound, ResourceExhausted, Unavailable, XenkeepError
from services.mover.adapters.nbd_connection import NbdConnection
from services.mover.repository import DirectoryStore, DiskRequest, PruneOptions, Repository, scrub
from tests.faults.mover_io.hostile_nbd import HostileNbd, Talk, good
from tests.faults.repository.faulty_store import FaultyStore
from tests.support.held import held, resident_kib
from tests.support.injections import Injections
from tests.support.scenarios import LEAKS, THOROUGH
from tests.support.seaweed import Seaweed
from tests.unit.repository.world import (
    BLOCK,
    KIB,
    OPTIONS,
    QUICK,
    MemoryTarget,
    back_up,
    description,
    new_repository,
    noise,
    reopen,
    restored,
)

CONTENT = noise(4 * BLOCK)
EACH = 60 if THOROUGH else 1
"""How often, after it was done once or twice: some thousand operations."""
NOW = PruneOptions(grace_seconds=0, patience_seconds=0, workers=2)


class Broken:
    """A disk that can be neither read nor written, after its beginning."""

    def read_into(self, offset: int, buffer: memoryview) -> None:
        if offset:
            raise Unavailable("The disk is gone.", reason="DISK_GONE")
        buffer[:] = CONTENT[: len(buffer)]

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        raise Unavailable("The disk is gone.", reason="DISK_GONE")


def _full(verb: str, name: str) -> None:
    if verb == "put" and name.startswith("packs/"):
        raise ResourceExhausted("There is no room.", reason="STORE_FULL")


class Room:
    """A repository of which ``p`` is a point, and places beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cache = folder / "cache"
        with new_repository(
            DirectoryStore(self.place, create=True), self.cache, 2 * BLOCK, 4 * BLOCK
        ) as repository:
            back_up(repository, "p", CONTENT)

    @property
    def place(self) -> Path:
        return self.folder / "store"

    def opened(self, fault: Callable[[str, str], None] | None = None) -> Repository:
        return reopen(FaultyStore(DirectoryStore(self.place), fault=fault), self.cache)


def _wrong_key(room: Room) -> None:
    reopen(DirectoryStore(room.place), room.cache, "a wrong passphrase")


def _no_repository(room: Room) -> None:
    reopen(DirectoryStore(room.folder), room.cache)


def _backup_of_a_broken_disk(room: Room) -> None:
    with (
        room.opened() as repository,
        repository.begin_backup("n", transfer_id="n", options=OPTIONS) as session,
    ):
        session.disk(DiskRequest("d", len(CONTENT)), Broken())


def _backup_without_room(room: Room) -> None:
    with room.opened(_full) as repository:
        back_up(repository, "n", noise(4 * BLOCK, 1), transfer="n")


def _restore_to_a_broken_disk(room: Room) -> None:
    with room.opened() as repository:
        repository.restore_disk("p", "d", Broken())


def _restore_of_damage(room: Room) -> None:
    def gone(verb: str, name: str) -> None:
        if verb == "get" and name.startswith("packs/data/"):
            raise NotFound("It is gone.", reason="OBJECT_MISSING")

    with room.opened(gone) as repository, contextlib.suppress(DataLoss):
        repository.restore_disk("p", "d", MemoryTarget(len(CONTENT)))
    shutil.rmtree(room.place / "damage")


def _cancelled(verb: Callable[[Repository, threading.Event], object]) -> Callable[[Room], None]:
    def cancelled(room: Room) -> None:
        cancel = threading.Event()
        cancel.set()
        with room.opened() as repository:
            verb(repository, cancel)

    return cancelled


def _prune(room: Room) -> None:
    with room.opened() as repository:
        back_up(repository, "n", noise(4 * BLOCK, 2))
        repository.delete_point("n")
        repository.prune(NOW)


def _taken_back(room: Room) -> None:
    with room.opened() as repository:
        repository.delete_point("p", keep=0)
        repository.undelete_point("p")


def _copy(room: Room) -> None:
    copies = room.folder / "copies"
    with room.opened() as repository:
        repository.copy_to(DirectoryStore(copies, create=True), room.cache)
    shutil.rmtree(copies)


def _copy_without_room(room: Room) -> None:
    copies = room.folder / "copies"
    with room.opened() as repository, contextlib.suppress(ResourceExhausted):
        repository.copy_to(FaultyStore(DirectoryStore(copies, create=True), fault=_full), room.cache)
    shutil.rmtree(copies)


def _stream_left_half_read(room: Room) -> None:
    with room.opened() as repository:
        with repository.begin_backup("n", options=OPTIONS) as session:
            session.stream("s", [noise(40 * BLOCK, 3)])
            session.commit(description())
        parts = repository.read_stream("n", "s")
        next(parts)
        del parts
        repository.delete_point("n", keep=0, purge=True)


def _keys(room: Room) -> None:
    with room.opened() as repository:
        repository.keys.add_passphrase("n", "another passphrase", cost=QUICK)
        repository.keys.remove_slot("n")


def _index_and_survey(room: Room) -> None:
    with room.opened() as repository:
        repository.rebuild_index()
        repository.survey(room.folder)
        assert list(scrub(DirectoryStore(room.place))) == []


OPERATIONS: dict[str, Callable[[Room], None]] = {
    "backup of a broken disk": _backup_of_a_broken_disk,
    "backup without room": _backup_without_room,
    "cancelled prune": _cancelled(lambda r, cancel: r.prune(NOW, cancel=cancel)),
    "cancelled restore": _cancelled(
        lambda r, cancel: r.restore_disk("p", "d", MemoryTarget(len(CONTENT)), cancel=cancel)
    ),
    "cancelled verification": _cancelled(lambda r, cancel: r.verify(full=True, cancel=cancel)),
    "copy": _copy,
    "copy without room": _copy_without_room,
    "index and survey": _index_and_survey,
    "keys": _keys,
    "no repository": _no_repository,
    "point taken back": _taken_back,
    "prune": _prune,
    "restore of damage": _restore_of_damage,
    "restore to a broken disk": _restore_to_a_broken_disk,
    "stream left half read": _stream_left_half_read,
    "wrong key": _wrong_key,
}
"""Those that fail included: they leak most."""
FAIL = {
    "backup of a broken disk",
    "backup without room",
    "no repository",
    "restore to a broken disk",
    "wrong key",
}
FAIL |= {name for name in OPERATIONS if name.startswith("cancelled")}
TRIED = sorted(OPERATIONS) if THOROUGH else sorted({*FAIL, "copy without room", "stream left half read"})


@pytest.mark.scenario(LEAKS)
@pytest.mark.parametrize("name", TRIED)
def test_what_an_operation_takes_it_gives_back_also_when_it_fails(
    tmp_path: Path, name: str, injections: Injections
) -> None:
    room = Room(tmp_path)

    def operate() -> None:
        with pytest.raises(XenkeepError) if name in FAIL else contextlib.nullcontext():
            OPERATIONS[name](room)

    for _ in range(2):
        operate()
    before, resident = held(), resident_kib()
    for _ in range(EACH):
        with injections.one():
            operate()
            assert held() == before
    assert resident_kib() - resident < 32 * KIB


@pytest.mark.scenario(LEAKS)
def test_connections_to_a_bucket_are_given_back(
    seaweed: Seaweed, tmp_path: Path, injections: Injections
) -> None:
    """Also those on which an answer was refused."""
    with new_repository(seaweed.store(tmp_path.name), tmp_path, 2 * BLOCK, 4 * BLOCK) as repository:
        back_up(repository, "p", CONTENT)

    def operate() -> None:
        store = seaweed.store(tmp_path.name)
        with reopen(store, tmp_path) as repository:
            assert restored(repository, "p") == CONTENT
            with pytest.raises(XenkeepError):
                store.get("points/none")
            with pytest.raises(XenkeepError):
                store.put("points/p", [b"another"])
            with pytest.raises(XenkeepError):
                store.get("points/p", 1 << 30, 5)

    operate()
    before = held()
    for _ in range(EACH):
        with injections.one():
            operate()
            assert held() == before


def _sockets(port: int) -> int:
    """Those of ours that are connected to the port; a server in this process has others."""
    gc.collect()
    found = 0
    for each in gc.get_objects():
        if isinstance(each, socket.socket) and each.fileno() != -1:
            with contextlib.suppress(OSError, IndexError):
                found += each.getpeername()[1] == port
    return found


@pytest.mark.scenario(LEAKS, 40)
@pytest.mark.parametrize("way", ["good", "hangs up", "refuses"])
def test_connections_to_a_disk_are_given_back(tmp_path: Path, way: str, injections: Injections) -> None:
    def hang_up(talk: Talk) -> None:
        talk.greet()

    def refuse(talk: Talk) -> None:
        talk.greet()
        talk.export()
        talk.reply(talk.request(), error=5)

    with HostileNbd(tmp_path, [{"good": good, "hangs up": hang_up, "refuses": refuse}[way]]) as server:
        for _ in range(EACH):
            with injections.one():
                with (
                    contextlib.nullcontext() if way == "good" else pytest.raises(XenkeepError),
                    contextlib.closing(NbdConnection.open(server.endpoint)) as connection,
                ):
                    connection.read_into(0, memoryview(bytearray(512)))
                assert _sockets(server.endpoint.port) == 0
        assert server.connections == EACH
