"""Pages of maps: what is encoded is decoded, and nothing else is accepted."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.errors import DataLoss
from services.mover.repository import MemoryStore
from services.mover.repository.format.page import Entry, Item, Page, Patch, decode_page, encode_page
from tests.unit.repository.world import BLOCK, back_up, new_repository, noise, overwritten, restored

ids = st.binary(min_size=32, max_size=32)
zero_patches = st.builds(Patch, st.integers(1, 2**16 - 1))
group_patches = st.builds(Patch, st.integers(1, 2**16 - 1), ids, st.integers(0, 48))
entries = st.builds(
    Entry, st.one_of(st.none(), ids), st.lists(st.one_of(zero_patches, group_patches), max_size=4).map(tuple)
).filter(lambda entry: entry != Entry(None))
leaf_items = st.dictionaries(st.integers(0, 1023), entries, min_size=1, max_size=20)
inner_items = st.dictionaries(st.integers(0, 1023), ids, min_size=1, max_size=20)


@given(st.one_of(leaf_items.map(lambda items: Page(0, items)), inner_items.map(lambda items: Page(2, items))))
def test_whole_pages_round_trip(page: Page) -> None:
    assert decode_page(encode_page(page), 16, "page") == page


@given(leaf_items, st.integers(1, 8), ids)
def test_deltas_round_trip_holes_included(items: dict[int, Item], depth: int, base: bytes) -> None:
    page = Page(0, items | {1000: None}, depth, base)
    assert decode_page(encode_page(page), 16, "page") == page


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_a_page_or_damage(data: bytes) -> None:
    try:
        page = decode_page(data, 16, "page")
    except DataLoss:
        return
    assert encode_page(page) == data


@pytest.mark.parametrize("cut", range(1, 40, 3))
def test_a_truncated_or_longer_page_is_damage(cut: int) -> None:
    data = encode_page(Page(0, {0: Entry(bytes(32), (Patch(3, bytes(32), 1),)), 7: Entry(bytes(32))}))
    with pytest.raises(DataLoss, match="the page is damaged"):
        decode_page(data[:-cut], 16, "the page")
    with pytest.raises(DataLoss):
        decode_page(data + bytes(cut), 16, "the page")


def test_one_change_in_a_large_map_costs_little_metadata(tmp_path: Path) -> None:
    base = noise(1024 * BLOCK)
    store = MemoryStore()
    with new_repository(store, tmp_path, chunk_bytes=BLOCK) as repository:
        back_up(repository, "p0", base)
        content = base
        for n in range(1, 8):
            change = {n * 100 * BLOCK: noise(BLOCK, n)}
            content = overwritten(content, change)
            known = set(store.objects)
            back_up(repository, f"p{n}", content, base=f"p{n - 1}", changed=[(n * 100 * BLOCK, BLOCK)])
            meta = sum(
                len(data)
                for name, data in store.objects.items()
                if name.startswith("packs/meta/") and name not in known
            )
            assert meta < 1000 or n % 5 == 0
            assert restored(repository, f"p{n}") == content
        assert restored(repository, "p0") == base
