"""A verification that does not end is gone on with: what it found whole is not read again, as it says."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from services.chassis.clock import FakeClock
from services.chassis.errors import Cancelled
from services.mover.repository import MemoryStore, Repository, Sample, Verification, open_repository
from services.mover.repository.format.names import PACKS
from services.mover.repository.store import StoredObject
from services.mover.repository.types import Bytes
from tests.unit.repository.world import (
    MIB,
    PASSPHRASE,
    back_up,
    flipped,
    new_repository,
    noise,
)

CONTENT = noise(6 * MIB)


class Counting(MemoryStore):
    """Knows which packs were read whole."""

    def __init__(self) -> None:
        super().__init__()
        self.read: list[str] = []

    @contextmanager
    def borrow(self, stored: StoredObject) -> Iterator[Bytes]:
        yield self.get(stored.name)

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        if name.startswith(PACKS) and length is None:
            self.read.append(name)
        return super().get(name, offset, length)

    def packs(self) -> set[str]:
        return {stored.name for stored in self.list(PACKS)}


class Place:
    """A repository of some seven packs, and where its verifications keep notes."""

    def __init__(self, folder: Path) -> None:
        self.store, self.clock = Counting(), FakeClock()
        self.notes = folder / "notes"
        self._folder = folder
        with new_repository(self.store, folder / "cache", chunk_bytes=MIB // 4, pack_bytes=MIB) as repository:
            back_up(repository, "a", CONTENT)

    @contextmanager
    def repository(self) -> Iterator[Repository]:
        with open_repository(self.store, PASSPHRASE, self._folder / "cache", time=self.clock) as opened:
            yield opened

    def verify(self, sample: Sample | None = None) -> Verification:
        self.store.read.clear()
        with self.repository() as repository:
            return repository.verify(full=True, notes=self.notes, workers=1, sample=sample)

    def verify_until(self, packs: int) -> set[str]:
        """Cancelled when so many packs were read: which."""
        self.store.read.clear()
        cancel = threading.Event()

        def listen(objects: int, _size: int) -> None:
            if objects == packs:
                cancel.set()

        with self.repository() as repository, pytest.raises(Cancelled):
            repository.verify(full=True, notes=self.notes, workers=1, listener=listen, cancel=cancel)
        return set(self.store.read)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_what_was_found_whole_is_not_read_again_and_that_is_said(place: Place) -> None:
    read = place.verify_until(3)
    found = place.verify()
    assert (3, place.store.packs() - read) == (len(read), set(place.store.read))
    assert (("a",), ()) == (found.sound_points, found.findings)
    assert sum(place.store.size(name) for name in read) == found.resumed_bytes
    assert ["VERIFY_RESUMED"] == [code for code, _ in found.notices]

    again = place.verify()
    assert (place.store.packs(), 0, ()) == (set(place.store.read), again.resumed_bytes, again.notices)
    assert (found.checked_bytes, found.checked_objects) == (again.checked_bytes, again.checked_objects)


def test_several_that_do_not_end_add_up(place: Place) -> None:
    first, second = place.verify_until(2), place.verify_until(4)
    assert not first & second
    assert sum(map(place.store.size, first | second)) == place.verify().resumed_bytes


def test_damage_that_was_met_is_met_again(place: Place) -> None:
    for name in place.store.packs():
        place.store.objects[name] = flipped(place.store.objects[name], -2)
    place.verify_until(3)
    found = place.verify()
    assert place.store.packs() <= {finding.object for finding in found.findings}
    assert 0 == found.resumed_bytes


def test_a_pack_that_is_known_to_be_damaged_since_is_read_again(place: Place) -> None:
    read = place.verify_until(3)
    spoilt = sorted(read)[0]
    place.store.objects[spoilt] = flipped(place.store.objects[spoilt], -2)
    with place.repository() as repository:
        repository.verify(full=True, workers=1)
    found = place.verify()
    assert spoilt in place.store.read
    assert [spoilt] == [finding.object for finding in found.findings]


def test_a_pack_that_was_cut_short_since_is_read_again(place: Place) -> None:
    cut = sorted(place.verify_until(3))[0]
    place.store.objects[cut] = place.store.objects[cut][:-1]
    assert cut in {finding.object for finding in place.verify().findings}


async def test_what_was_whole_more_than_a_week_ago_is_read_again(place: Place) -> None:
    place.verify_until(3)
    await place.clock.advance(timedelta(days=7, seconds=1).total_seconds())
    assert (0, place.store.packs()) == (place.verify().resumed_bytes, set(place.store.read))


@pytest.mark.parametrize("tail", [b"half of a note", bytes(4000)])
def test_notes_that_a_power_loss_tore_say_nothing_wrong(place: Place, tail: bytes) -> None:
    read = place.verify_until(3)
    with place.notes.open("ab") as notes:
        notes.write(tail)
    found = place.verify()
    assert (sum(map(place.store.size, read)), ("a",)) == (found.resumed_bytes, found.sound_points)


@pytest.mark.parametrize("content", [b"", b"nonsense", b"2026-01-01T00:00:00\n", b"\xff" * 100], ids=len)
def test_notes_that_are_none_are_begun_anew(place: Place, content: bytes) -> None:
    place.notes.write_bytes(content)
    assert (0, place.store.packs()) == (place.verify().resumed_bytes, set(place.store.read))


def test_a_sample_is_not_gone_on_with(place: Place) -> None:
    place.verify_until(3)
    assert 0 == place.verify(Sample("0" * 64, 1.0)).resumed_bytes
    assert place.store.packs() == set(place.store.read)
