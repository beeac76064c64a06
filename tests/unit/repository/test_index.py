"""The local index: small, and true to the segments."""

import hashlib
from pathlib import Path

from services.mover.repository.format.blob import BlobEntry, BlobType
from services.mover.repository.format.segment import (
    PackRecord,
    Segment,
    decode_segment,
    encode_segment,
    split_into_segments,
)
from services.mover.repository.index import Index
from tests.unit.repository.world import MIB


def _record(number: int, blobs: int = 64) -> PackRecord:
    name = hashlib.sha256(f"pack {number}".encode()).digest()
    entries = tuple(
        BlobEntry(hashlib.sha256(f"{number} {n}".encode()).digest(), BlobType.CHUNK, 1, MIB, 500_000 + n)
        for n in range(blobs)
    )
    return PackRecord(name, 32 * MIB, "data", 1, bytes(32), entries)


def test_an_entry_costs_at_most_100_bytes_on_disk(tmp_path: Path) -> None:
    index = Index(tmp_path / "index.sqlite")
    packs = 600
    for start in range(0, packs, 100):
        segment = Segment(tuple(_record(n) for n in range(start, start + 100)))
        index.add_segment(bytes([start // 100]) * 32, segment)
    index.close()
    size = sum(path.stat().st_size for path in tmp_path.iterdir())
    assert size / (packs * 64) <= 100


def test_blobs_are_found_in_batches_with_their_places(tmp_path: Path) -> None:
    index = Index(tmp_path / "index.sqlite")
    records = [_record(n, 600) for n in range(2)]
    index.add_segment(b"s" * 32, Segment(tuple(records)))
    ids = [entry.id for record in records for entry in record.entries]
    found = index.find([*ids, bytes(32)])
    assert found.keys() == set(ids)
    for record in records:
        for slot, (entry, offset) in enumerate(zip(record.entries, record.offsets(), strict=True)):
            (place,) = found[entry.id]
            assert (place.slot, place.offset, place.entry) == (slot, offset, entry)
            assert (place.pack.sha256, place.pack.size) == (record.sha256, record.size)
    index.close()


def test_an_undamaged_copy_comes_first(tmp_path: Path) -> None:
    index = Index(tmp_path / "index.sqlite")
    one = _record(1)
    other = PackRecord(b"o" * 32, one.size, one.kind, 1, one.salt, one.entries)
    index.add_segment(b"s" * 32, Segment((one, other)))
    for bad, good in ((one, other), (other, one)):
        index.mark_damaged([bad.sha256])
        copies = index.find([one.entries[0].id])[one.entries[0].id]
        assert [copy.pack.sha256 for copy in copies] == [good.sha256, bad.sha256]
    index.close()


def test_a_superseding_segment_replaces_packs_and_is_taken_in_once(tmp_path: Path) -> None:
    index = Index(tmp_path / "index.sqlite")
    index.add_segment(b"1" * 32, Segment((_record(1), _record(2))))
    index.add_segment(b"2" * 32, Segment((_record(2), _record(3)), (b"1" * 32,)))
    index.add_segment(b"1" * 32, Segment((_record(1), _record(2))))
    assert {pack.sha256 for pack in index.packs()} == {_record(2).sha256, _record(3).sha256}
    assert index.find([_record(1).entries[0].id]) == {}
    assert index.segments() == {b"1" * 32: True, b"2" * 32: False}
    index.close()


def test_segments_round_trip_and_are_split_when_large() -> None:
    segment = Segment((_record(1), _record(2)), (b"x" * 32,))
    assert decode_segment(encode_segment(segment), "segment") == segment
    assert split_into_segments([]) == [Segment(())]
    (only,) = split_into_segments([_record(1)], [b"x" * 32])
    assert only == Segment((_record(1),), (b"x" * 32,))
