"""The law of ``BlockSource``, for every implementation."""

import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from services.chassis.errors import Cancelled, InvalidInput
from services.mover.adapters.memory_disk import MemoryDisk
from services.mover.adapters.nbd_pool import NbdPool
from services.mover.domain import BlockRead
from services.mover.ports import BlockSource
from tests.integration.mover_io.nbdkit import Nbdkit

Make = Callable[[bytes], BlockSource]
CONTENT = random.Random(7).randbytes((3 << 20) + 512)


@pytest.fixture(params=["memory", "nbd", "nbd over two hosts"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    with ExitStack() as cleaning:

        def make_one(content: bytes) -> BlockSource:
            if request.param == "memory":
                return MemoryDisk(content)
            image = tmp_path / "disk.img"
            image.write_bytes(content)
            hosts = ["host-1", "host-2"] if "two" in request.param else ["host-1"]
            endpoints = [cleaning.enter_context(Nbdkit(image, host)).endpoint for host in hosts]
            pool = NbdPool(len(content), endpoints, refresh=lambda: endpoints)
            cleaning.callback(pool.close)
            return pool

        yield make_one


def reads_of(content: bytes, step: int) -> list[BlockRead]:
    return [
        BlockRead(offset, memoryview(bytearray(min(step, len(content) - offset))))
        for offset in range(0, len(content), step)
    ]


def test_a_whole_disk_is_read_byte_for_byte(make: Make) -> None:
    source = make(CONTENT)
    buffer = bytearray(len(CONTENT))
    source.read_into(0, memoryview(buffer))
    assert buffer == CONTENT
    assert len(CONTENT) == source.size_bytes
    assert source.notices() == ()


def test_a_read_returns_the_bytes_of_its_place(make: Make) -> None:
    source = make(CONTENT)
    for offset, length in [(512, 512), (65536, 4096), (1 << 20, 1 << 20), (len(CONTENT) - 512, 512)]:
        buffer = bytearray(length)
        source.read_into(offset, memoryview(buffer))
        assert CONTENT[offset : offset + length] == buffer


def test_a_disk_may_end_off_a_sector(make: Make) -> None:
    source = make(CONTENT[:1300])
    buffer = bytearray(276)
    source.read_into(1024, memoryview(buffer))
    assert CONTENT[1024:1300] == buffer


@pytest.mark.parametrize(
    ("offset", "length"),
    [
        (0, 0),
        (-512, 512),
        (1, 512),
        (0, 100),
        (len(CONTENT), 512),
        (len(CONTENT) - 512, 1024),
        (1 << 62, 512),
    ],
)
def test_what_is_not_on_the_disk_is_refused(make: Make, offset: int, length: int) -> None:
    source = make(CONTENT)
    with pytest.raises(InvalidInput) as refused:
        source.read_into(offset, memoryview(bytearray(length)))
    assert refused.value.reason == "READ_OUT_OF_RANGE"
    with pytest.raises(InvalidInput):
        list(
            source.read_many(
                [BlockRead(0, memoryview(bytearray(512))), BlockRead(1, memoryview(bytearray(9)))]
            )
        )
    source.read_into(0, memoryview(bytearray(512)))


def test_many_reads_are_each_yielded_once_with_their_bytes(make: Make) -> None:
    source = make(CONTENT)
    reads = reads_of(CONTENT, 65536)
    random.Random(3).shuffle(reads)
    done = list(source.read_many(reads))
    assert {id(read) for read in reads} == {id(read) for read in done}
    assert len(reads) == len(done)
    assert all(CONTENT[read.offset : read.extent.end] == read.buffer for read in done)


def test_no_reads_are_no_work(make: Make) -> None:
    assert list(make(CONTENT).read_many([])) == []


def test_threads_share_work_by_drawing_from_one_list(make: Make) -> None:
    source = make(CONTENT)
    reads = reads_of(CONTENT, 16384)
    shared = iter(reads)
    with ThreadPoolExecutor(6) as threads:
        parts = list(threads.map(lambda _: list(source.read_many(shared)), range(6)))
    assert len(reads) == sum(len(part) for part in parts)
    assert all(CONTENT[read.offset : read.extent.end] == read.buffer for read in reads)


def test_more_threads_than_connections_read_at_once(make: Make) -> None:
    source = make(CONTENT)

    def one(index: int) -> bytes:
        buffer = bytearray(4096)
        source.read_into(index * 4096, memoryview(buffer))
        return bytes(buffer)

    with ThreadPoolExecutor(12) as threads:
        assert CONTENT[: 200 * 4096] == b"".join(threads.map(one, range(200)))


def test_an_abandoned_iteration_leaves_the_source_usable(make: Make) -> None:
    source = make(CONTENT)
    iteration = iter(source.read_many(reads_of(CONTENT, 65536)))
    next(iteration)
    del iteration
    buffer = bytearray(len(CONTENT))
    source.read_into(0, memoryview(buffer))
    assert buffer == CONTENT
    assert source.notices() == ()


def test_a_closed_source_reads_no_more(make: Make) -> None:
    source = make(CONTENT)
    source.read_into(0, memoryview(bytearray(512)))
    source.close()
    source.close()
    with pytest.raises(Cancelled):
        source.read_into(0, memoryview(bytearray(512)))
