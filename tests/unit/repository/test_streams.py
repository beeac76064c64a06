"""Streams: what is written is read, whole and in part, and what is known is not stored again."""

import random
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest

from services.chassis.errors import DataLoss, FailedPrecondition, InvalidInput, NotFound
from services.mover.repository import MemoryStore, Progress, Repository
from services.mover.repository.blobwriter import BlobWriter
from services.mover.repository.cutting import CutSizes, Cutter
from services.mover.repository.flow import Flow
from services.mover.repository.format import zstd
from services.mover.repository.format.blob import BlobType
from services.mover.repository.format.names import PACKS
from services.mover.repository.format.stream import ListItem, StreamRef
from services.mover.repository.reader import BlobReader
from services.mover.repository.streamreader import read_stream
from services.mover.repository.streamwriter import ListBuilder, StreamWriter
from services.mover.repository.types import Bytes
from tests.support.waiting import PATIENCE_S
from tests.unit.repository.world import (
    KIB,
    MIB,
    OPTIONS,
    description,
    flipped,
    new_repository,
    noise,
    reopen,
)


class BlobsInMemory(BlobWriter, BlobReader):
    """Stores blobs under their numbers; counts how many pieces are there."""

    def __init__(self) -> None:
        self.blobs: dict[bytes, bytes] = {}
        self.pieces = 0

    def store(self, type_: BlobType, plain: bytes | bytearray, *, meta: bool = False) -> bytes:
        id_ = len(self.blobs).to_bytes(32, "big")
        self.blobs[id_] = bytes(plain)
        self.pieces += type_ is BlobType.PIECE
        return id_

    def read(self, id_: bytes, type_: BlobType) -> bytes:
        return self.blobs[id_]

    def read_many(self, ids, type_):  # type: ignore[no-untyped-def]
        return {id_: self.blobs[id_] for id_ in ids}


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Repository]:
    with new_repository(MemoryStore(), tmp_path) as repository:
        yield repository


def parts(data: bytes, length: int = 100_000) -> Iterator[bytes]:
    return (data[at : at + length] for at in range(0, len(data), length))


async def arriving(data: bytes, length: int = 100_000) -> AsyncIterator[bytes]:
    for part in parts(data, length):
        yield part


def store(repository: Repository, point: str, data: bytes, kind: str = "file") -> StreamRef:
    with repository.begin_backup(point, options=OPTIONS) as session:
        ref = session.stream("data", parts(data), kind)
        session.commit(description())
    return ref


def test_a_stream_keeps_its_bytes_its_length_and_its_kind(repository: Repository, tmp_path: Path) -> None:
    data = noise(11 * MIB + 321)
    store(repository, "p1", data, "memory")
    with reopen(repository._context.store, tmp_path / "elsewhere") as again:
        kept = again.get_point("p1").streams["data"]
        assert (kept.length, kept.kind) == (len(data), "memory")
        assert b"".join(again.read_stream("p1", "data")) == data
        assert again.verify(full=True).findings == ()


@pytest.mark.parametrize("length", [0, 1, 256 * KIB, MIB, MIB + 1, 5 * MIB])
def test_streams_of_any_length_come_back(repository: Repository, length: int) -> None:
    store(repository, "p1", noise(length))
    assert b"".join(repository.read_stream("p1", "data")) == noise(length)


def test_any_part_of_a_stream_is_read_alone(repository: Repository) -> None:
    data = noise(9 * MIB)
    store(repository, "p1", data)
    where = random.Random(7)
    for _ in range(20):
        offset = where.randrange(len(data))
        length = where.choice([0, 1, 5000, 3 * MIB, len(data)])
        length = min(length, len(data) - offset)
        assert b"".join(repository.read_stream("p1", "data", offset, length)) == data[offset:][:length]
    assert b"".join(repository.read_stream("p1", "data", 8 * MIB)) == data[8 * MIB :]


@pytest.mark.parametrize(("offset", "length"), [(-1, 1), (0, 11), (11, 0), (5, -1)])
def test_a_part_outside_the_stream_is_refused(repository: Repository, offset: int, length: int) -> None:
    store(repository, "p1", b"ten bytes.")
    with pytest.raises(InvalidInput, match="outside a stream of 10 bytes"):
        repository.read_stream("p1", "data", offset, length)
    with pytest.raises(NotFound, match="no stream 'other'"):
        repository.read_stream("p1", "other")


def test_a_changed_stream_costs_what_changed(repository: Repository) -> None:
    data = noise(20 * MIB)
    store(repository, "p1", data)
    store(repository, "p2", data[: 7 * MIB] + b"a line more" + data[7 * MIB :])
    counts = repository.get_point("p2").statistics
    assert counts["new_bytes"] < 5 * MIB
    assert counts["known_bytes"] > 15 * MIB


async def test_a_stream_is_taken_as_it_arrives_and_tells_how_far_it_is(repository: Repository) -> None:
    data = noise(6 * MIB)
    told: list[Progress] = []
    with repository.begin_backup("p1", options=OPTIONS) as session:
        ref = await session.write_stream(
            "memory", "memory", arriving(data), total_bytes=len(data), listener=told.append
        )
        session.commit(description())
    assert ref.length == len(data)
    assert b"".join(repository.read_stream("p1", "memory")) == data
    assert told[-1].total == len(data)
    assert [each.read for each in told] == sorted(each.read for each in told)


async def test_a_stream_that_breaks_off_makes_no_point_and_may_be_begun_again(repository: Repository) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield noise(3 * MIB)
        raise ConnectionResetError("the pool went away")

    with repository.begin_backup("p1", options=OPTIONS) as session:
        with pytest.raises(ConnectionResetError):
            await session.write_stream("memory", "memory", broken())
        with pytest.raises(FailedPrecondition, match="stream memory of this backup is not complete"):
            session.commit(description())
        await session.write_stream("memory", "memory", arriving(b"whole"))
        session.commit(description())
    assert b"".join(repository.read_stream("p1", "memory")) == b"whole"


def test_what_a_stream_that_broke_off_is_still_storing_is_waited_for(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()
    compress = zstd.compress

    def slowly(plain: bytes, level: int) -> tuple[int, Bytes]:
        begun.set()
        assert go_on.wait(PATIENCE_S)
        return compress(plain, level)

    def broken() -> Iterator[bytes]:
        yield noise(3 * MIB)
        assert begun.wait(PATIENCE_S)
        raise ConnectionResetError("the pool went away")

    with repository.begin_backup("p1", options=OPTIONS) as session, ThreadPoolExecutor(1) as committing:
        with monkeypatch.context() as patched:
            patched.setattr(zstd, "compress", slowly)
            with pytest.raises(ConnectionResetError):
                session.stream("memory", broken())
        session.stream("memory", [noise(3 * MIB)])  # finds what the other one is storing
        committed = committing.submit(session.commit, description())
        assert wait([committed], timeout=0.2).not_done
        go_on.set()
        committed.result(PATIENCE_S)
    assert b"".join(repository.read_stream("p1", "memory")) == noise(3 * MIB)


def test_a_cancelled_backup_ends_its_streams(repository: Repository) -> None:
    with repository.begin_backup("p1", options=OPTIONS) as session:

        def endless() -> Iterator[bytes]:
            yield noise(2 * MIB)
            session.cancel()
            while True:
                yield bytes(MIB)

        with pytest.raises(Exception, match="The backup was cancelled"):
            session.stream("data", endless())
    assert repository.list_points() == []


def test_a_small_document_lies_with_the_metadata(repository: Repository) -> None:
    store(repository, "p1", b"<vm/>", "")
    names = [stored.name for stored in repository._context.store.list(PACKS)]
    assert names and all(name.startswith("packs/meta/") for name in names)


def test_a_damaged_piece_is_an_error_and_never_zeros(tmp_path: Path) -> None:
    objects = MemoryStore()
    with new_repository(objects, tmp_path) as repository:
        data = noise(3 * MIB)
        store(repository, "p1", data)
        name = next(stored.name for stored in objects.list("packs/data/"))
        objects.objects[name] = flipped(objects.objects[name], 200_000)
        with pytest.raises(DataLoss, match=name):
            list(repository.read_stream("p1", "data"))
        assert repository.damaged_packs() == 1
        with pytest.raises(DataLoss):
            repository.require_restorable("p1")
        assert name in repository.known_damage("p1")


@pytest.mark.parametrize("items", [0, 1, 3, 4, 9, 10, 27, 28, 50])
def test_lists_of_lists_hold_every_piece_in_order(items: int) -> None:
    blobs = BlobsInMemory()
    lists = ListBuilder(blobs, list_items=3)
    pieces = [f"piece {n}.".encode() for n in range(items)]
    for piece in pieces:
        lists.add(ListItem(blobs.store(BlobType.PIECE, piece), len(piece)))
    whole = b"".join(pieces)
    ref = StreamRef(len(whole), lists.finish())
    assert (ref.list_id is None) == (items == 0)
    assert b"".join(read_stream(blobs, ref)) == whole
    assert b"".join(read_stream(blobs, ref, len(whole) // 2)) == whole[len(whole) // 2 :]


@pytest.mark.scenario(48)
def test_memory_does_not_grow_with_the_stream() -> None:
    """What was given and is not stored yet stays below a bound that the length is not part of."""
    blobs = BlobsInMemory()
    sizes = CutSizes(4 * KIB, 16 * KIB, 64 * KIB)
    writer = StreamWriter(Flow(), blobs, Cutter(bytes(16), sizes), "file", workers=2)
    part = noise(64 * KIB)
    most = 0
    for _ in range(400):
        writer.write(part)
        stored = sum(len(blob) for blob in list(blobs.blobs.values()))
        most = max(most, writer.read_bytes - stored)
    writer.finish()
    writer.close()
    assert blobs.pieces > 400
    assert most < 3 * MIB
