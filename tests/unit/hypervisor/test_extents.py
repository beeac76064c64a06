from hypothesis import given
from hypothesis import strategies as st

from services.hypervisor.domain.extents import BLOCK_BYTES, Extent, changed_extents

SECTOR = 512


def _by_blocks(bitmap: bytes, size: int, base: int) -> set[int]:
    """Changed sectors, found one block at a time: slow and plain."""
    tracked = min(size, base, len(bitmap) * 8 * BLOCK_BYTES) // BLOCK_BYTES
    changed = set()
    for sector in range(size // SECTOR):
        block = sector * SECTOR // BLOCK_BYTES
        in_bitmap = block < len(bitmap) * 8 and bitmap[block // 8] >> (7 - block % 8) & 1
        whole_and_known = block < tracked or (min(size, base) == size and block < len(bitmap) * 8)
        if in_bitmap or not whole_and_known:
            changed.add(sector)
    return changed


@given(
    bitmap=st.binary(max_size=4),
    sectors=st.integers(0, 36 * BLOCK_BYTES // SECTOR),
    base_sectors=st.integers(0, 36 * BLOCK_BYTES // SECTOR),
)
def test_extents_are_the_bits_of_the_bitmap_and_what_it_does_not_cover(
    bitmap: bytes, sectors: int, base_sectors: int
) -> None:
    size, base = sectors * SECTOR, base_sectors * SECTOR
    extents = list(changed_extents(bitmap, size, base))
    covered = {
        sector
        for extent in extents
        for sector in range(
            extent.offset_bytes // SECTOR, (extent.offset_bytes + extent.length_bytes) // SECTOR
        )
    }
    assert _by_blocks(bitmap, size, base) == covered


@given(bitmap=st.binary(max_size=64), size=st.integers(0, 600 * BLOCK_BYTES))
def test_extents_ascend_never_touch_and_stay_within_the_disk(bitmap: bytes, size: int) -> None:
    extents = list(changed_extents(bitmap, size, size))
    end = -1
    for extent in extents:
        assert extent.offset_bytes > end
        assert extent.length_bytes > 0
        end = extent.offset_bytes + extent.length_bytes
    assert end <= size


def test_the_most_significant_bit_is_the_first_block() -> None:
    assert [Extent(0, BLOCK_BYTES)] == list(changed_extents(b"\x80", 8 * BLOCK_BYTES, 8 * BLOCK_BYTES))


def test_the_recorded_bitmap_reads_as_its_note_says() -> None:
    """golden/wire/h_cbt.json: blocks 5 and 64 of an 8 MiB disk."""
    bitmap = bytes.fromhex("04000000000000008000000000000000")
    size = 128 * BLOCK_BYTES
    assert [5, 64] == [each.offset_bytes // BLOCK_BYTES for each in changed_extents(bitmap, size, size)]


def test_what_a_resize_added_counts_as_changed() -> None:
    extents = list(changed_extents(b"\x00\x00", 16 * BLOCK_BYTES, 4 * BLOCK_BYTES))
    assert [Extent(4 * BLOCK_BYTES, 12 * BLOCK_BYTES)] == extents
