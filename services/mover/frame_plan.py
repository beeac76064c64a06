"""Which frames a pass over a disk will write, and which it has written."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate

from services.chassis.errors import InvalidInput
from services.mover.block_ranges import SECTOR_BYTES, cut
from services.mover.domain import Extent

PAGE_BYTES = 4096


class FramePlan:
    """Extents cut on a grid of ``frame_bytes``; one byte of memory a frame. Not for several threads at a
    time.

    Extents begin and end on pages of 4,096 bytes, since a disk's device may refuse less (recorded: frames of
    8 bytes fail, of 4,096 succeed); one may end with the disk, on a sector. They do not overlap; neighbours
    are joined. ``InvalidInput`` otherwise.
    """

    def __init__(self, extents: Sequence[Extent], frame_bytes: int, size_bytes: int) -> None:
        self.frame_bytes = frame_bytes
        self._size_bytes = size_bytes
        self._extents = _joined(extents)
        for extent in self._extents:
            self._check(extent)
        self._starts = [extent.offset for extent in self._extents]
        counts = [self._frames_in(extent) for extent in self._extents]
        self._first_index = [0, *accumulate(counts)]
        self._written = bytearray(sum(counts))
        self.data_bytes = sum(extent.length for extent in self._extents)
        self.missing_frames = len(self._written)

    @property
    def frames(self) -> int:
        """How many frames the pass has."""
        return len(self._written)

    def must_be_complete(self) -> None:
        """``InvalidInput`` PASS_INCOMPLETE when frames are missing."""
        if self.missing_frames:
            raise InvalidInput(
                f"{self.missing_frames} announced frames were not written.",
                reason="PASS_INCOMPLETE",
                hint="Write every announced extent before finishing.",
            )

    def take(self, piece: Extent) -> Iterator[Extent]:
        """The frames of a piece that is being written now, marked as such.

        ``InvalidInput`` when the piece was not announced, is off the grid, or was written before.
        """
        at = bisect_right(self._starts, piece.offset) - 1
        extent = self._extents[at] if at >= 0 else Extent(0, 0)
        first = self._first_index[at] + piece.offset // self.frame_bytes - extent.offset // self.frame_bytes
        last = first + self._frames_in(piece)
        if not self._fits(piece, extent):
            raise _refused(piece, "was not announced, or does not begin and end on a frame")
        if any(self._written[first:last]):
            raise _refused(piece, "was written before")
        self._written[first:last] = b"\1" * (last - first)
        self.missing_frames -= last - first
        return cut(piece, self.frame_bytes)

    def _fits(self, piece: Extent, extent: Extent) -> bool:
        begins = piece.offset in (extent.offset, piece.offset // self.frame_bytes * self.frame_bytes)
        ends = piece.end == extent.end or piece.end % self.frame_bytes == 0
        return piece.length > 0 and begins and ends and piece.end <= extent.end

    def _frames_in(self, extent: Extent) -> int:
        return -(-extent.end // self.frame_bytes) - extent.offset // self.frame_bytes

    def _check(self, extent: Extent) -> None:
        inside = extent.offset >= 0 and extent.length > 0 and extent.end <= self._size_bytes
        begins = extent.offset % PAGE_BYTES == 0
        at_end = extent.end == self._size_bytes and extent.end % SECTOR_BYTES == 0
        if not (inside and begins and (extent.end % PAGE_BYTES == 0 or at_end)):
            raise _refused(extent, f"does not lie on pages within the disk of {self._size_bytes} bytes")


def _joined(extents: Sequence[Extent]) -> list[Extent]:
    joined: list[Extent] = []
    for extent in sorted(extents):
        if joined and extent.offset < joined[-1].end:
            raise _refused(extent, "overlaps another")
        if joined and extent.offset == joined[-1].end and extent.length > 0:
            joined[-1] = Extent(joined[-1].offset, joined[-1].length + extent.length)
        else:
            joined.append(extent)
    return joined


def _refused(extent: Extent, why: str) -> InvalidInput:
    return InvalidInput(
        f"An extent of {extent.length} bytes at {extent.offset} {why}.",
        reason="EXTENT_REFUSED",
        hint="Announce every extent once, and write whole frames of it.",
    )
