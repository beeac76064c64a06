"""The law of ``BlockTarget``, for every implementation."""

import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from services.chassis.errors import Cancelled, FailedPrecondition, InvalidInput
from services.mover.adapters.http_disk_target import HttpDiskTarget
from services.mover.adapters.http_opener import HttpTargetOptions
from services.mover.adapters.memory_disk import MemoryDisk
from services.mover.domain import Extent
from services.mover.ports import BlockTarget
from tests.integration.mover_io.framed_server import FramedServer

FRAME = 16384
PAGE = 4096


@dataclass
class Written:
    """A target and what it writes to."""

    target: BlockTarget
    content: bytearray


Make = Callable[[int], Written]


@pytest.fixture(params=["memory", "https"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    with ExitStack() as cleaning:

        def make_one(size: int) -> Written:
            if request.param == "memory":
                disk = MemoryDisk(bytes(size), frame_bytes=FRAME)
                return Written(disk, disk.content)
            server = cleaning.enter_context(FramedServer(tmp_path, size))
            target = HttpDiskTarget(
                size, [server.endpoint], lambda: [server.endpoint], HttpTargetOptions(frame_bytes=FRAME)
            )
            cleaning.callback(target.abort)
            return Written(target, server.disk)

        yield make_one


def test_exactly_the_announced_extents_are_written(make: Make) -> None:
    content = random.Random(1).randbytes(10 * FRAME + 512)
    written = make(len(content))
    extents = [Extent(0, PAGE), Extent(FRAME + PAGE, 3 * FRAME), Extent(10 * FRAME, 512)]
    written.target.begin(extents)
    for extent in extents:
        written.target.write(extent.offset, content[extent.offset : extent.end])
    written.target.finish()
    expected = bytearray(len(content))
    for extent in extents:
        expected[extent.offset : extent.end] = content[extent.offset : extent.end]
    assert written.content == expected
    assert written.target.notices() == ()


def test_pieces_come_in_any_order_and_from_several_threads(make: Make) -> None:
    content = random.Random(2).randbytes(64 * FRAME)
    written = make(len(content))
    pieces = [Extent(offset, FRAME) for offset in range(0, len(content), FRAME)]
    written.target.begin([Extent(0, len(content))])
    random.Random(3).shuffle(pieces)
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda at: written.target.write(at.offset, content[at.offset : at.end]), pieces))
    written.target.finish()
    assert written.content == content


def test_nothing_to_write_is_a_pass_too(make: Make) -> None:
    written = make(FRAME)
    written.target.begin([])
    written.target.finish()
    assert written.content == bytes(FRAME)


@pytest.mark.parametrize(
    "extents",
    [
        [Extent(0, 512)],
        [Extent(512, PAGE)],
        [Extent(0, 0)],
        [Extent(-PAGE, PAGE)],
        [Extent(8 * FRAME, PAGE)],
        [Extent(0, 2 * PAGE), Extent(PAGE, PAGE)],
    ],
)
def test_extents_that_cannot_be_written_are_refused(make: Make, extents: list[Extent]) -> None:
    written = make(8 * FRAME)
    with pytest.raises(InvalidInput) as refused:
        written.target.begin(extents)
    assert refused.value.reason == "EXTENT_REFUSED"


@pytest.mark.parametrize(
    ("offset", "length"),
    [(0, PAGE), (FRAME, 2 * FRAME + PAGE), (4 * FRAME, FRAME), (PAGE, FRAME), (FRAME, 0)],
)
def test_pieces_that_were_not_announced_are_refused_and_the_pass_goes_on(
    make: Make, offset: int, length: int
) -> None:
    written = make(8 * FRAME)
    written.target.begin([Extent(0, 4 * FRAME)])
    with pytest.raises(InvalidInput):
        written.target.write(offset, bytes(length))
    written.target.write(0, b"x" * 4 * FRAME)
    with pytest.raises(InvalidInput):
        written.target.write(0, bytes(FRAME))
    written.target.finish()
    assert written.content == b"x" * 4 * FRAME + bytes(4 * FRAME)


def test_a_pass_with_missing_pieces_does_not_finish(make: Make) -> None:
    written = make(8 * FRAME)
    written.target.begin([Extent(0, 4 * FRAME)])
    written.target.write(0, bytes(FRAME))
    with pytest.raises(InvalidInput) as refused:
        written.target.finish()
    assert refused.value.reason == "PASS_INCOMPLETE"


def test_there_is_nothing_to_write_before_a_pass_or_after_it(make: Make) -> None:
    written = make(FRAME)
    for _ in range(2):
        with pytest.raises(FailedPrecondition):
            written.target.write(0, bytes(FRAME))
        written.target.begin([Extent(0, FRAME)])
        written.target.write(0, b"y" * FRAME)
        written.target.finish()
    assert written.content == b"y" * FRAME


def test_a_second_pass_writes_again(make: Make) -> None:
    written = make(2 * FRAME)
    for letter in (b"a", b"b"):
        written.target.begin([Extent(0, 2 * FRAME)])
        written.target.write(0, letter * FRAME)
        if letter == b"b":
            written.target.write(FRAME, letter * FRAME)
            written.target.finish()
    assert written.content == b"b" * 2 * FRAME


def test_after_an_abort_everything_is_cancelled(make: Make) -> None:
    written = make(2 * FRAME)
    written.target.begin([Extent(0, 2 * FRAME)])
    written.target.write(0, bytes(FRAME))
    written.target.abort()
    written.target.abort()
    with pytest.raises(Cancelled):
        written.target.write(FRAME, bytes(FRAME))
    with pytest.raises(Cancelled):
        written.target.finish()
    with pytest.raises(Cancelled):
        written.target.begin([Extent(0, FRAME)])
