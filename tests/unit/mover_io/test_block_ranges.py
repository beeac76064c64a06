"""Where reads may be, how extents are cut, what a pass has written."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.errors import InvalidInput
from services.mover.block_ranges import check_read, cut
from services.mover.domain import BlockRead, Extent
from services.mover.frame_plan import PAGE_BYTES, FramePlan

PAGES = 64
FRAME = 4 * PAGE_BYTES


@given(st.integers(0, 1 << 40), st.integers(1, 1 << 22), st.integers(1, 1 << 20).map(lambda n: max(4096, n)))
def test_a_cut_extent_is_covered_once_and_in_order(offset: int, length: int, largest: int) -> None:
    pieces = list(cut(Extent(offset, length), largest))
    assert pieces[0].offset == offset
    assert pieces[-1].end == offset + length
    assert all(left.end == right.offset for left, right in pairwise(pieces))
    assert all(0 < piece.length <= largest for piece in pieces)
    assert all(piece.offset % largest == 0 for piece in pieces[1:])


@given(st.integers(-1024, 10_000), st.integers(0, 10_000), st.integers(0, 10_000))
def test_a_read_is_allowed_exactly_when_it_is_on_the_disk_and_on_sectors(
    offset: int, length: int, size: int
) -> None:
    allowed = (
        offset >= 0
        and offset % 512 == 0
        and length > 0
        and offset + length <= size
        and ((offset + length) % 512 == 0 or offset + length == size)
    )
    read = BlockRead(offset, memoryview(bytearray(length)))
    if allowed:
        check_read(read, size)
    else:
        with pytest.raises(InvalidInput):
            check_read(read, size)


@st.composite
def plans(draw: st.DrawFn) -> list[Extent]:
    """Extents on pages of a small disk, in any order, not overlapping."""
    bounds = sorted(draw(st.sets(st.integers(0, PAGES), max_size=20)))
    extents = [
        Extent(left * PAGE_BYTES, (right - left) * PAGE_BYTES)
        for left, right in pairwise(bounds)
        if draw(st.booleans())
    ]
    return draw(st.permutations(extents))


def pieces_of(plan: FramePlan, extents: list[Extent]) -> list[Extent]:
    return [piece for extent in extents for piece in cut(extent, plan.frame_bytes)]


@given(plans())
def test_every_announced_frame_is_taken_once_and_nothing_else_is(extents: list[Extent]) -> None:
    plan = FramePlan(extents, PAGE_BYTES, PAGES * PAGE_BYTES)
    announced = pieces_of(plan, extents)
    assert plan.frames == plan.missing_frames == len(announced)
    assert plan.data_bytes == sum(extent.length for extent in extents)
    for page in range(PAGES):
        piece = Extent(page * PAGE_BYTES, PAGE_BYTES)
        if piece in announced:
            assert list(plan.take(piece)) == [piece]
        with pytest.raises(InvalidInput):
            plan.take(piece)
    plan.must_be_complete()


@given(plans())
def test_whole_extents_may_be_written_at_once(extents: list[Extent]) -> None:
    plan = FramePlan(extents, FRAME, PAGES * PAGE_BYTES)
    joined: list[Extent] = []
    for extent in sorted(extents):
        if joined and joined[-1].end == extent.offset:
            joined[-1] = Extent(joined[-1].offset, joined[-1].length + extent.length)
        else:
            joined.append(extent)
    frames = [frame for extent in joined for frame in plan.take(extent)]
    assert len(frames) == plan.frames
    assert sum(frame.length for frame in frames) == plan.data_bytes
    plan.must_be_complete()


def test_a_refused_piece_leaves_the_plan_as_it_was() -> None:
    plan = FramePlan([Extent(0, 3 * FRAME)], FRAME, 8 * FRAME)
    for piece in (
        Extent(0, 4 * FRAME),
        Extent(PAGE_BYTES, FRAME),
        Extent(0, PAGE_BYTES),
        Extent(5 * FRAME, FRAME),
    ):
        with pytest.raises(InvalidInput):
            plan.take(piece)
    assert plan.missing_frames == 3
    with pytest.raises(InvalidInput):
        plan.must_be_complete()
