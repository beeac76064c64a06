"""Where reads of a disk may be, and how large ones are cut."""

from collections.abc import Iterator

from services.chassis.errors import InvalidInput
from services.mover.domain import BlockRead, Extent

SECTOR_BYTES = 512


def check_read(read: BlockRead, size_bytes: int) -> None:
    """``InvalidInput`` unless the read lies within the disk and on sectors (it may end with the disk)."""
    extent = read.extent
    inside = extent.length > 0 and extent.offset >= 0 and extent.end <= size_bytes
    ends_well = extent.end % SECTOR_BYTES == 0 or extent.end == size_bytes
    if inside and extent.offset % SECTOR_BYTES == 0 and ends_well:
        return
    raise InvalidInput(
        f"{extent.length} bytes at {extent.offset} cannot be read from a disk of {size_bytes} bytes.",
        reason="READ_OUT_OF_RANGE",
        hint=f"Reads lie within the disk and on sectors of {SECTOR_BYTES} bytes.",
    )


def cut(extent: Extent, largest: int) -> Iterator[Extent]:
    """The pieces of an extent on the grid of ``largest`` bytes: only the first and last may be smaller."""
    offset = extent.offset
    while offset < extent.end:
        end = min(extent.end, (offset // largest + 1) * largest)
        yield Extent(offset, end - offset)
        offset = end
