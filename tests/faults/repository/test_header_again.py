"""A damaged header is deleted and put again: whoever is killed in between loses nothing."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from services.chassis.clock import FakeClock
from services.chassis.errors import DataLoss, FailedPrecondition, XenkeepError
from services.mover.repository import (
    MemoryStore,
    Repository,
    create_repository,
    open_repository,
    repair_header,
)
from services.mover.repository.format.names import HEADER
from services.mover.repository.store import StoredObject
from services.mover.repository.stores.forwarding import ForwardingStore
from tests.faults.repository.faulty_store import Crash, FaultyStore
from tests.unit.repository.world import (
    BLOCK,
    PASSPHRASE,
    QUICK,
    back_up,
    new_repository,
    noise,
    reopen,
    restored,
)

pytestmark = pytest.mark.scenario(1, 33)
CONTENT, LATER = noise(BLOCK), noise(BLOCK, 2)
HARM: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "large": lambda _: b"x" * 70_000,
    "other date": lambda header: header.replace(b"1970", b"1971").replace(b"2026", b"2027"),
    "other id": lambda header: header.replace(header.split(b'"id":"')[1][:32], b"ab" * 16),
}


def _dies_between(verb: str, name: str) -> None:
    if (verb, name) == ("put", HEADER):
        raise Crash


ENDS: dict[str, Callable[[str, str], None]] = {"works": lambda *_: None, "is killed": _dies_between}


class Place:
    """A repository that a mover has open, with a damaged header; ``used`` has a restore point."""

    def __init__(self, folder: Path, *, used: bool, harm: str = "empty") -> None:
        self.folder, self.store = folder, MemoryStore()
        with new_repository(self.store, folder / "made", BLOCK, BLOCK) as repository:
            self.id = repository.repository_id
            if used:
                back_up(repository, "p", CONTENT)
        self.used = used
        self.header = self.store.objects[HEADER]
        self.harmed = HARM[harm](self.header)
        assert self.harmed != self.header
        self.store.objects[HEADER] = self.harmed
        self._pristine = dict(self.store.objects)
        self._movers = 0

    def reset(self) -> None:
        self.store.objects = dict(self._pristine)

    def opened(self, store: FaultyStore | MemoryStore | None = None) -> Repository:
        """By a mover that has the repository in service."""
        self._movers += 1
        cache = self.folder / f"cache-{self._movers}"
        return open_repository(store or self.store, PASSPHRASE, cache, time=FakeClock(), known_id=self.id)

    def require_taken(self) -> None:
        """Nobody takes the place for empty, nor for one where a creation died, nor for their own."""
        before = dict(self.store.objects)
        with pytest.raises(XenkeepError) as refused:
            create_repository(self.store, PASSPHRASE, self.folder / "taken", cost=QUICK)
        assert refused.value.reason in ("REPOSITORY_EXISTS", "STORE_NOT_EMPTY")
        with (
            new_repository(MemoryStore("memory:b"), self.folder / "other") as other,
            pytest.raises(XenkeepError),
        ):
            other.copy_to(self.store, self.folder / "copies")
        if self.store.objects.get(HEADER) != self.header:
            with pytest.raises(XenkeepError) as unknown:
                reopen(self.store, self.folder / "import")
            assert unknown.value.reason in ("REPOSITORY_HEADER_MISSING", "REPOSITORY_DAMAGED")
        assert before == self.store.objects

    def require_whole(self) -> None:
        """The next mover opens it, and its first backup writes the header again."""
        with self.opened() as repository:
            back_up(repository, "q", LATER)
        assert self.header == self.store.objects[HEADER]
        with reopen(self.store, self.folder / "after") as repository:
            assert LATER == restored(repository, "q")
            assert not self.used or CONTENT == restored(repository, "p")


@pytest.mark.parametrize("used", [True, False])
@pytest.mark.parametrize("harm", sorted(HARM))
def test_killed_at_any_step_the_place_stays_taken_and_the_next_mover_writes_the_header_again(
    tmp_path: Path, harm: str, used: bool
) -> None:
    place = Place(tmp_path, used=used, harm=harm)
    step, seen = 0, set[bytes | None]()
    while place.store.objects.get(HEADER) != place.header:
        place.reset()
        faulty = FaultyStore(place.store, crash_at=step)
        with place.opened(faulty) as doomed, pytest.raises(Crash):
            back_up(doomed, "lost", LATER)
        seen.add(place.store.objects.get(HEADER))
        left = dict(place.store.objects)
        place.require_taken()
        place.require_whole()
        place.store.objects = left
        step += 1
    assert {place.harmed, None, place.header} == seen


@pytest.mark.parametrize("used", [True, False])
def test_a_repair_by_command_killed_at_any_step_leaves_a_place_that_is_taken(
    tmp_path: Path, used: bool
) -> None:
    place, step, seen = Place(tmp_path, used=used), 0, set[bytes | None]()
    while place.store.objects.get(HEADER) != place.header:
        place.reset()
        with pytest.raises(Crash):
            repair_header(FaultyStore(place.store, crash_at=step), PASSPHRASE, lambda *_: None)
        seen.add(place.store.objects.get(HEADER))
        left = dict(place.store.objects)
        place.require_taken()
        if None is place.store.objects.get(HEADER):
            repair_header(place.store, PASSPHRASE, lambda *_: None)
        place.require_whole()
        place.store.objects = left
        step += 1
    assert {place.harmed, None, place.header} == seen


def test_who_lists_the_place_while_the_header_is_taken_away_does_not_take_it_for_a_leftover(
    tmp_path: Path,
) -> None:
    """What came after the listing had passed its place, and what went before it got there, are not in it."""
    place = Place(tmp_path, used=False)

    class Walked(ForwardingStore):
        passed = False

        def list(self, prefix: str) -> Iterator[StoredObject]:
            found = [stored for stored in super().list(prefix) if stored.name != HEADER]
            if prefix or self.passed:
                return super().list(prefix)
            self.passed = True
            with place.opened(FaultyStore(place.store, fault=_dies_between)) as doomed, pytest.raises(Crash):
                back_up(doomed, "lost", LATER)
            return iter(found)

    with pytest.raises(FailedPrecondition) as refused:
        create_repository(Walked(place.store), PASSPHRASE, tmp_path / "taken", cost=QUICK)
    assert "STORE_NOT_EMPTY" == refused.value.reason and HEADER not in place.store.objects
    place.require_whole()


@pytest.mark.parametrize("used", [True, False])
@pytest.mark.parametrize("ends", ["works", "is killed"])
def test_two_movers_that_write_it_again_at_once_leave_one_header(
    tmp_path: Path, used: bool, ends: str
) -> None:
    """The second does all of it while the first is about to take its first, second, … step, or dies there."""
    place, step, finished = Place(tmp_path, used=used), 0, False
    while not finished:
        place.reset()
        steps: list[str] = []

        def meanwhile(verb: str, name: str, at: int = step, steps: list[str] = steps) -> None:
            if name == HEADER:
                steps.append(verb)
                if len(steps) == at + 1:
                    with place.opened(FaultyStore(place.store, fault=ENDS[ends])) as second:
                        try:
                            back_up(second, "second", CONTENT)
                        except Crash:
                            assert ends == "is killed"

        faulty = FaultyStore(place.store, fault=meanwhile)
        with place.opened(faulty) as first:
            back_up(first, "first", LATER)
        finished = len(steps) <= step
        assert place.header == place.store.objects[HEADER]
        with reopen(place.store, tmp_path / f"after-{step}") as repository:
            assert LATER == restored(repository, "first")
            if ends == "works" and not finished:
                assert CONTENT == restored(repository, "second")
        step += 1
    assert step > 4


def test_a_place_that_was_filled_with_another_repository_is_not_opened_as_what_was_there(
    tmp_path: Path,
) -> None:
    place = Place(tmp_path, used=True)
    with place.opened() as repository:
        repository.keys.add_passphrase("spare", "a spare passphrase", cost=QUICK)
    theirs = MemoryStore()
    new_repository(theirs, tmp_path / "theirs").close()
    place.store.objects |= theirs.objects
    with pytest.raises(DataLoss):
        open_repository(place.store, "a spare passphrase", tmp_path / "again", known_id=place.id)
    del place.store.objects[HEADER]
    with pytest.raises(FailedPrecondition) as refused:
        place.opened()
    assert "REPOSITORY_HEADER_MISSING" == refused.value.reason
