"""Verification by sample: a known number of samples reads everything, and each says what it read."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.errors import InvalidInput
from services.mover.repository import MemoryStore, Repository, Sample
from services.mover.repository.damage import DamagedPack, record_damage
from services.mover.repository.format.names import PACKS, parse_pack_name
from services.mover.repository.packlisting import PackListing
from services.mover.repository.sampling import picked, start_at
from tests.unit.repository.world import (
    KIB,
    MIB,
    back_up,
    flipped,
    new_repository,
    noise,
    packs,
)

START = start_at(datetime(2026, 1, 1, tzinfo=UTC))


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def repository(store: MemoryStore, tmp_path: Path) -> Iterator[Repository]:
    """A dozen packs."""
    with new_repository(store, tmp_path, 256 * KIB, MIB) as repository:
        back_up(repository, "a", noise(10 * MIB, 1))
        yield repository


@given(st.integers(0, 60), st.floats(0.001, 1), st.integers(0, 70), st.integers(0, 2**256 - 1))
def test_samples_one_after_another_read_every_pack_once_around(
    count: int, share: float, most: int, start: int
) -> None:
    there = {noise(32, seed) for seed in range(count)}
    sample, seen = Sample(f"{start:064x}", share, most), list[bytes]()
    with PackListing() as listing:
        listing.note((sha256, "data", 1) for sha256 in there)
        first = list(picked(listing, sample)[0])
        for _ in range(-(-count // max(len(first), 1))):
            packs, following = picked(listing, sample)
            part = list(packs)
            assert len(part) == len(first) and (not most or len(part) <= most)
            seen += [pack.sha256 for pack in part]
            sample = Sample(following, share, most)
    assert set(seen) == there
    assert len(set(seen[:count])) == count


def test_samples_of_a_repository_cover_it_and_say_how_much(
    repository: Repository, store: MemoryStore
) -> None:
    there, start, runs, read = packs(store), START, 0, 0
    while read < len(there):
        report = repository.verify(full=True, sample=Sample(start, count=4))
        assert report.sampled is not None and report.findings == ()
        assert 4 == report.sampled.checked_packs
        assert (len(there), sum(len(store.objects[name]) for name in there)) == (
            report.sampled.packs,
            report.sampled.pack_bytes,
        )
        assert 0 < report.sampled.checked_bytes < report.sampled.pack_bytes
        assert () == report.sound_points, "what was not read may be damaged"
        start, runs, read = report.sampled.next_start, runs + 1, read + report.sampled.checked_packs
    assert -(-len(there) // 4) == runs


@pytest.mark.parametrize("full", [True, False])
def test_damage_anywhere_is_found_by_the_sample_whose_turn_it_is(
    repository: Repository, store: MemoryStore, full: bool
) -> None:
    there = packs(store)
    harmed = there[len(there) // 2]
    data = store.objects[harmed]
    store.objects[harmed] = flipped(data, 300)
    start, found = START, list[str]()
    for _ in there:
        report = repository.verify(full=full, sample=Sample(start, count=1))
        assert report.sampled is not None
        start = report.sampled.next_start
        found += [finding.object for finding in report.findings]
        assert (("a",) if found else ()) == report.damaged_points
    assert harmed in found


def test_what_is_known_to_be_damaged_is_read_again_by_every_sample(
    repository: Repository, store: MemoryStore
) -> None:
    harmed = packs(store)[0]
    whole = store.objects[harmed]
    store.objects[harmed] = flipped(whole, 300)
    assert repository.verify(full=False).damaged_points == ("a",)
    after = Sample(harmed.rpartition("/")[2][:-1] + "f", count=1)
    assert [harmed] == [finding.object for finding in repository.verify(full=True, sample=after).findings]
    store.objects[harmed] = whole
    assert repository.verify(full=True, sample=after).findings == ()
    assert repository.damaged_packs() == 0


def test_a_pack_that_is_gone_is_found_by_any_sample(repository: Repository, store: MemoryStore) -> None:
    gone = packs(store)[3]
    del store.objects[gone]
    report = repository.verify(full=True, sample=Sample(START, count=1))
    assert [gone] == [finding.object for finding in report.findings]
    assert report.damaged_points == ("a",)


def test_a_sample_lets_damage_stand_that_somebody_recorded_while_it_read(
    repository: Repository, store: MemoryStore
) -> None:
    there = [each for name in packs(store) if (each := parse_pack_name(name)) is not None]

    def another_mover(*_: int) -> None:
        for kind, sha256 in there:
            record_damage(store, DamagedPack(sha256, kind, "It is damaged.", "2026-01-01T00:00:00Z"))

    repository.verify(full=True, sample=Sample(START, count=1), listener=another_mover)
    assert len(there) == repository.damaged_packs()


def test_what_lies_among_the_packs_and_is_none_is_named_by_every_sample_and_counts_as_no_pack(
    repository: Repository, store: MemoryStore
) -> None:
    stranger = f"{PACKS}data/notes.txt"
    store.put(stranger, [b"not a pack"])
    report = repository.verify(full=True, sample=Sample(START, count=1))
    assert [stranger] == [finding.object for finding in report.findings]
    assert report.damaged_points == ()
    assert report.sampled is not None
    assert (1, len(packs(store)) - 1) == (report.sampled.checked_packs, report.sampled.packs)
    assert report.sampled.checked_bytes <= report.checked_bytes - len(b"not a pack")


def test_a_sample_of_an_empty_repository_is_nothing(tmp_path: Path) -> None:
    with new_repository(MemoryStore(), tmp_path) as repository:
        report = repository.verify(full=True, sample=Sample(START, share=0.5))
    assert report.sampled is not None
    assert (0, 0, START) == (
        report.sampled.checked_packs,
        report.sampled.packs,
        report.sampled.next_start,
    )


@pytest.mark.parametrize(
    ("start", "share", "count"),
    [
        (START, 0, 0),
        (START, 1.5, 0),
        (START, float("nan"), 1),
        (START, 0.1, -1),
        ("x" * 64, 0.1, 0),
        ("0" * 63, 0.1, 0),
    ],
)
def test_an_impossible_sample_is_refused(start: str, share: float, count: int) -> None:
    with pytest.raises(InvalidInput):
        Sample(start, share, count)
