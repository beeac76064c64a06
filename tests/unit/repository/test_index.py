"""The local index: small, and true to the segments."""

import contextlib
import hashlib
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from services.chassis.errors import ResourceExhausted, Unavailable
from services.mover.repository import MemoryStore
from services.mover.repository.format.blob import BlobEntry, BlobType
from services.mover.repository.format.segment import (
    PackRecord,
    Segment,
    decode_segment,
    encode_segment,
    split_into_segments,
)
from services.mover.repository.index import Index
from services.mover.repository.indexfile import CACHE_REMADE
from services.mover.repository.indexrewriting import compact_index
from tests.faults.repository.faulty_store import Crash, FaultyStore
from tests.unit.repository.world import BLOCK, MIB, back_up, new_repository, noise, reopen, restored


def _record(number: int, blobs: int = 64) -> PackRecord:
    name = hashlib.sha256(f"pack {number}".encode()).digest()
    entries = tuple(
        BlobEntry(hashlib.sha256(f"{number} {n}".encode()).digest(), BlobType.CHUNK, 1, MIB, 500_000 + n)
        for n in range(blobs)
    )
    return PackRecord(name, 32 * MIB, "data", 1, bytes(32), entries)


@pytest.mark.scenario(48)
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


def test_many_small_segments_are_merged_and_everything_is_still_found(tmp_path: Path) -> None:
    store = MemoryStore()
    content = noise(8 * BLOCK)
    with new_repository(store, tmp_path / "a", chunk_bytes=BLOCK) as repository:
        for n in range(8):
            back_up(repository, f"p{n}", content[: (n + 1) * BLOCK])
        with reopen(store, tmp_path / "b") as other:
            context = repository._context
            assert compact_index(context, more_than=100) == 0
            assert compact_index(context, more_than=4) == 8
            assert len([name for name in store.objects if name.startswith("index/")]) == 1
            for reader in (repository, other):
                back_up(reader, f"later-{id(reader)}", content)
                assert restored(reader, "p7") == content
                assert reader.notices == []
    with reopen(store, tmp_path / "c") as clean:
        assert restored(clean, "p3") == content[: 4 * BLOCK]
        assert clean.notices == []


def test_a_merge_killed_at_every_step_keeps_every_pack_listed(tmp_path: Path) -> None:
    content = noise(4 * BLOCK)
    pristine = MemoryStore()
    with new_repository(pristine, tmp_path / "a", chunk_bytes=BLOCK) as repository:
        for n in range(4):
            back_up(repository, f"p{n}", content[: (n + 1) * BLOCK])
    for step in range(8):
        store = MemoryStore()
        store.objects = dict(pristine.objects)
        with (
            reopen(FaultyStore(store, crash_at=step), tmp_path / f"d{step}") as doomed,
            contextlib.suppress(Crash),
        ):
            compact_index(doomed._context, more_than=1)
        with reopen(store, tmp_path / f"e{step}") as repository:
            assert [restored(repository, f"p{n}") for n in range(4)] == [
                content[: (n + 1) * BLOCK] for n in range(4)
            ]


@pytest.mark.scenario(5, 19)
def test_a_full_cache_disk_is_told_and_the_repository_is_not_affected(tmp_path: Path) -> None:
    index = Index(tmp_path / "index.sqlite")
    index._file._db.execute("PRAGMA max_page_count = 20")
    with pytest.raises(ResourceExhausted, match="choose another cache directory"):
        index.add_segment(b"s" * 32, Segment(tuple(_record(n) for n in range(50))))
    assert index.segments() == {}
    index.close()


def test_segments_round_trip_and_are_split_when_large() -> None:
    segment = Segment((_record(1), _record(2)), (b"x" * 32,))
    assert decode_segment(encode_segment(segment), "segment") == segment
    assert list(split_into_segments([])) == [Segment(())]
    (only,) = split_into_segments([_record(1)], [b"x" * 32])
    assert only == Segment((_record(1),), (b"x" * 32,))


def test_what_loses_its_pack_is_not_found_and_leaves_the_file_in_the_end(tmp_path: Path) -> None:
    index = Index(tmp_path / "index.sqlite")
    records = [_record(n, 2000) for n in range(12)]
    index.add_segment(b"1" * 32, Segment(tuple(records)))
    for at, name in enumerate((b"2" * 32, b"3" * 32, b"4" * 32), 1):
        old = bytes([name[0] - 1]) * 32
        index.add_segment(name, Segment(tuple(records[at * 3 :]), (old,)))
        assert index.find([records[0].entries[0].id]) == {}
        assert index.totals() == ((12 - at * 3), (12 - at * 3) * 32 * MIB, (12 - at * 3) * 2000)
        assert set(index.find([r.entries[7].id for r in records])) == {
            r.entries[7].id for r in records[at * 3 :]
        }
        assert sum(1 for _ in index.copies()) == (12 - at * 3) * 2000
    (lines,) = index._file._db.execute("SELECT count(*) FROM blobs").fetchone()
    assert lines < 12 * 2000
    index.close()


def test_a_number_of_a_pack_is_never_used_again(tmp_path: Path) -> None:
    """Blobs of the last pack stay in the file when it goes: they must not become another pack's."""
    index = Index(tmp_path / "index.sqlite")
    index.add_segment(b"1" * 32, Segment((_record(1),)))
    index.add_segment(b"2" * 32, Segment((), (b"1" * 32,)))
    index.add_segment(b"3" * 32, Segment((_record(2),)))
    assert index.find([_record(1).entries[0].id]) == {}
    ((number, *_),) = [(p.number, p.pack.sha256) for batch in index.pack_batches() for p in batch]
    assert number == 2
    index.close()


def test_segments_taken_in_together_count_together(tmp_path: Path) -> None:
    index = Index(tmp_path / "index.sqlite")
    with contextlib.suppress(RuntimeError), index.intake() as intake:
        intake.add(b"1" * 32, Segment((_record(1),)))
        raise RuntimeError("the store went away")
    assert index.segments() == {}
    with index.intake() as intake:
        intake.add(b"2" * 32, Segment((_record(2),), (b"1" * 32,)))
        intake.add(b"1" * 32, Segment((_record(1),)))
        intake.add(b"3" * 32, Segment((_record(2), _record(3)), (b"2" * 32,)))
    assert index.segments() == {b"1" * 32: True, b"2" * 32: True, b"3" * 32: False}
    assert {pack.sha256 for pack in index.packs()} == {_record(2).sha256, _record(3).sha256}
    assert index.find([_record(1).entries[0].id]) == {}
    assert len(index.find([entry.id for n in (2, 3) for entry in _record(n).entries])) == 128
    index.close()


def test_a_merge_reads_small_segments_only(tmp_path: Path) -> None:
    index = Index(tmp_path / "index.sqlite")
    index.add_segment(b"1" * 32, Segment((_record(1),)))
    index.add_segment(b"2" * 32, Segment((_record(2, 200),)))
    index.add_segment(b"3" * 32, Segment((_record(3),)))
    index.add_segment(b"4" * 32, Segment((), (b"3" * 32,)))
    assert index.small_segments(100) == [b"1" * 32, b"4" * 32]
    index.close()


def test_a_pack_that_several_segments_list_is_gone_from_all_of_them_or_none(tmp_path: Path) -> None:
    """As a resumed backup lists again what the given-up one had listed already."""
    index = Index(tmp_path / "index")
    pack = _record(1)
    other = _record(2)
    for name, packs in ((b"1" * 32, (pack,)), (b"2" * 32, (pack, other)), (b"3" * 32, (pack,))):
        index.add_segment(name, Segment(packs))
    assert {b"1" * 32, b"2" * 32, b"3" * 32} == set(index.segments_of([pack.sha256]))
    index.add_segment(b"4" * 32, Segment((), (b"3" * 32,)))
    assert {b"1" * 32, b"2" * 32} == set(index.segments_of([pack.sha256]))
    assert {pack.sha256, other.sha256} == {each.sha256 for each in index.packs()}
    index.add_segment(b"5" * 32, Segment((other,), (b"1" * 32, b"2" * 32)))
    assert {b"5" * 32: {other.sha256}} == index.segments_of([pack.sha256, other.sha256])
    assert [other.sha256] == [each.sha256 for each in index.packs()]
    index.close()


def test_temporary_files_lie_where_the_first_index_is(tmp_path: Path) -> None:
    """/tmp may be small, or memory."""
    code = (
        "import os, sys; from pathlib import Path\n"
        "from services.mover.repository.index import Index\n"
        "from services.mover.repository.scratchdb import ScratchDb\n"
        "open_all_the_time = [Index(Path(sys.argv[1]) / name / 'index') for name in (\"it's one\", 'two')]\n"
        "scratch = ScratchDb('CREATE TABLE t (x)')\n"
        "scratch.add('INSERT INTO t VALUES (?)', ((bytes(1000),) for _ in range(20_000)))\n"
        "links = [link for link in Path('/proc/self/fd').iterdir() if link.is_symlink()]\n"
        "print(*(link.readlink() for link in links), sep='\\n')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    hidden = [line for line in done.stdout.splitlines() if line.endswith("(deleted)")]
    assert hidden and all(line.startswith(str(tmp_path / "it's one")) for line in hidden)


@pytest.mark.parametrize("wrong", ["7", "'text'", "x'00'"])
@pytest.mark.parametrize(
    ("column", "ask"),
    [
        ("segments SET name", Index.segments),
        ("segments SET name", lambda index: index.small_segments(1000)),
        ("packs SET segment", lambda index: index.segments_of([_record(1).sha256])),
        ("packs SET sha256", lambda index: list(index.packs())),
    ],
)
def test_a_name_that_is_none_makes_the_file_anew(
    tmp_path: Path, column: str, ask: Callable[[Index], object], wrong: str
) -> None:
    file = tmp_path / "index.sqlite"
    index = Index(file)
    index.add_segment(b"1" * 32, Segment((_record(1),)))
    with contextlib.closing(sqlite3.connect(file)) as db:
        db.execute(f"UPDATE {column} = {wrong}")
        db.commit()
    with contextlib.closing(Index(file)) as other:
        with pytest.raises(Unavailable) as refused:
            ask(other)
        assert refused.value.reason == CACHE_REMADE
        assert other.segments() == {}
    index.close()
