"""Lines of the local index that are wrong: they are made anew, they alone, and no pack is called damaged."""

import contextlib
import random
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from services.chassis.errors import DataLoss, Unavailable
from services.mover.repository import MemoryStore, Repository
from services.mover.repository.format.blob import BlobType
from services.mover.repository.format.names import DAMAGE, INDEX, PACKS
from services.mover.repository.indexdoubt import REPAIRED
from tests.faults.repository.faulty_store import FaultyStore
from tests.support.injections import Injections
from tests.support.scenarios import THOROUGH
from tests.unit.repository.world import BLOCK, back_up, new_repository, noise, reopen, restored

pytestmark = pytest.mark.scenario(19)
CONTENT = noise(16 * BLOCK)
FLAWS = [
    "blobs SET at = at + 1",
    "blobs SET at = at + 1000000000",
    "blobs SET slot = slot + 1",
    "blobs SET stored = stored - 1",
    "blobs SET plain = plain + 1",
    "blobs SET kind = kind + 8",
    "packs SET salt = zeroblob(32)",
    "packs SET epoch = 7",
    "packs SET kind = CASE kind WHEN 1 THEN 2 ELSE 1 END",
    "packs SET sha256 = randomblob(32)",
    "packs SET segment = randomblob(32), salt = zeroblob(32)",
]


@dataclass
class Place:
    """A repository of many packs and one segment, its local index in a file, and what is read of it."""

    store: MemoryStore
    cache: Path

    @property
    def file(self) -> Path:
        (found,) = self.cache.glob("*.sqlite")
        return found

    def change(self, statement: str) -> None:
        with contextlib.closing(sqlite3.connect(self.file)) as cache, cache:
            assert cache.execute(statement).rowcount > 0

    def numbers(self) -> dict[bytes, int]:
        """Of the packs, as the local index has them."""
        with contextlib.closing(sqlite3.connect(self.file)) as cache, cache:
            return dict(cache.execute("SELECT sha256, n FROM packs"))

    def require_sound(self, repository: Repository) -> None:
        assert repository.damaged_packs() == 0
        assert not [name for name in self.store.objects if name.startswith(DAMAGE)]
        assert {bytes.fromhex(name[-64:]) for name in self.store.objects if name.startswith(PACKS)} == set(
            self.numbers()
        )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, bytes], str, bytes]:
    store, folder = MemoryStore(), tmp_path_factory.mktemp("made")
    with new_repository(store, folder, BLOCK, 4 * BLOCK) as repository:
        back_up(repository, "p", CONTENT)
    (file,) = folder.glob("*.sqlite")
    return store.objects, file.name, file.read_bytes()


@pytest.fixture
def place(made: tuple[dict[str, bytes], str, bytes], tmp_path: Path) -> Iterator[Place]:
    store = MemoryStore()
    store.objects = dict(made[0])
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / made[1]).write_bytes(made[2])
    yield Place(store, tmp_path / "cache")


@pytest.mark.parametrize("flaw", FLAWS)
def test_a_pack_is_not_called_damaged_because_the_local_index_is_wrong_about_it(
    place: Place, flaw: str
) -> None:
    before = place.numbers()
    place.change(f"UPDATE {flaw}")
    with reopen(place.store, place.cache) as repository:
        assert restored(repository, "p") == CONTENT
        told = [text for code, text in repository.notices if code == REPAIRED]
        assert "made anew" in told[0]
        assert len(told) == 1 if "sha256" in flaw else len(told) >= len(before) - 1
        place.require_sound(repository)
        notices = len(repository.notices)
        assert restored(repository, "p") == CONTENT
        assert notices == len(repository.notices)
    with reopen(place.store, place.cache) as repository:
        assert restored(repository, "p") == CONTENT
        assert [] == repository.notices


@pytest.mark.parametrize("flaw", FLAWS)
def test_what_is_made_anew_is_what_was_wrong(place: Place, flaw: str) -> None:
    """One pack's lines, from one segment, or those of the packs that are wrong in it."""
    before = place.numbers()
    victim = before[max(before)]
    lines = f"pack = {victim}" if flaw.startswith("blobs") else f"n = {victim}"
    place.change(f"UPDATE {flaw} WHERE {lines}")
    read: list[str] = []

    def note(verb: str, name: str) -> None:
        if verb == "get" and name.startswith(INDEX):
            read.append(name)

    with reopen(FaultyStore(place.store, fault=note), place.cache) as repository:
        assert restored(repository, "p") == CONTENT
        place.require_sound(repository)
    after = place.numbers()
    assert [max(before)] == [pack for pack in before if before[pack] != after[pack]]
    assert len(read) <= (2 if "sha256" in flaw else 1)


LOST = ["blobs SET id = randomblob(32)", "blobs SET pack = (SELECT min(n) FROM packs)"]


@pytest.mark.parametrize("lost", LOST)
@pytest.mark.parametrize("share", [1, 4])
def test_a_blob_that_the_local_index_has_lost_or_has_elsewhere_is_looked_for(
    place: Place, lost: str, share: int
) -> None:
    place.change(f"UPDATE OR REPLACE {lost} WHERE at % {share} = 0")
    with reopen(place.store, place.cache) as repository:
        assert restored(repository, "p") == CONTENT
        assert REPAIRED in [code for code, _ in repository.notices]
        place.require_sound(repository)


def test_a_blob_that_is_nowhere_is_looked_for_once(place: Place) -> None:
    """Its pack is in no segment, and gone: the next one that is not there costs nothing."""
    read: list[str] = []

    def note(verb: str, name: str) -> None:
        if verb == "get" and name.startswith(INDEX):
            read.append(name)

    with reopen(FaultyStore(place.store, fault=note), place.cache) as repository:
        for number in range(3):
            with pytest.raises(DataLoss, match="are in no pack"):
                repository._context.reader.read(bytes([number]) * 32, BlobType.CHUNK)
        assert len(read) == 1


@pytest.mark.parametrize("harm", ["damaged", "gone"])
def test_a_pack_that_is_damaged_is_called_so_although_the_local_index_was_wrong_about_it_too(
    place: Place, harm: str
) -> None:
    place.change("UPDATE blobs SET slot = slot + 1")
    for name in [name for name in place.store.objects if name.startswith(f"{PACKS}data/")]:
        data = place.store.objects.pop(name)
        if harm == "damaged":
            place.store.objects[name] = data[:5000] + bytes(50_000) + data[55_000:]
    with reopen(place.store, place.cache) as repository:
        with pytest.raises(DataLoss):
            restored(repository, "p")
        assert repository.damaged_packs() > 0


def test_a_verification_does_not_miss_a_pack_that_only_the_local_index_has(place: Place) -> None:
    place.change("UPDATE packs SET sha256 = randomblob(32) WHERE n = 3")
    with reopen(place.store, place.cache) as repository:
        told = repository.verify(full=True)
        assert (told.findings, told.damaged_points) == ((), ())
        place.require_sound(repository)


def test_a_verification_misses_a_pack_that_a_segment_lists(place: Place) -> None:
    gone = min(name for name in place.store.objects if name.startswith(PACKS))
    del place.store.objects[gone]
    with reopen(place.store, place.cache) as repository:
        told = repository.verify(full=True)
    assert [gone] == [finding.object for finding in told.findings]
    assert ("p",) == told.damaged_points


def test_many_who_meet_the_same_wrong_lines_all_read_what_is_right(place: Place) -> None:
    place.change("UPDATE packs SET salt = zeroblob(32)")
    answers: list[bytes | DataLoss] = []
    begin = threading.Barrier(4)
    with reopen(place.store, place.cache) as repository:

        def read() -> None:
            begin.wait()
            try:
                answers.append(repository.read_disk("p", "d", 0, len(CONTENT)))
            except DataLoss as error:
                answers.append(error)

        readers = [threading.Thread(target=read) for _ in range(4)]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
        assert [CONTENT] * 4 == answers
        place.require_sound(repository)


def test_an_index_that_cannot_be_put_right_is_made_anew_as_a_whole(place: Place) -> None:
    place.change("UPDATE packs SET salt = zeroblob(32)")
    with reopen(place.store, place.cache) as repository:
        repository._context.index.replace_pack = lambda *_: None  # type: ignore[method-assign]
        with pytest.raises(Unavailable, match=r"was wrong about packs/.*, and is made anew"):
            restored(repository, "p")
        assert restored(repository, "p") == CONTENT
        place.require_sound(repository)


def test_lines_with_anything_in_them_are_put_right_or_said_to_be_wrong(
    place: Place, made: tuple[dict[str, bytes], str, bytes], injections: Injections
) -> None:
    """Each field of some lines is overwritten, by a number or by bytes; the second restore is right."""
    fields = {
        "blobs": ("at", "slot", "stored", "plain", "kind", "pack", "id"),
        "packs": ("size", "epoch", "kind", "salt", "sha256", "segment", "blobs", "damaged"),
    }
    for seed in range(60 if THOROUGH else 12):
        dice = random.Random(seed)
        place.store.objects = dict(made[0])
        for left in place.cache.iterdir():
            left.unlink()
        (place.cache / made[1]).write_bytes(made[2])
        table = dice.choice(sorted(fields))
        field = dice.choice(fields[table])
        value = dice.choice(
            ["randomblob(32)", str(dice.randrange(9)), str(dice.randrange(2**40)), "-1", "x'00'"]
        )
        share = dice.choice((1, 2, 5))
        number = "pack" if table == "blobs" else "n"
        with contextlib.suppress(sqlite3.IntegrityError):  # two packs of one name: nothing is changed
            place.change(f"UPDATE {table} SET {field} = {value} WHERE {number} % {share} = 0")
        with injections.one():
            try:
                with reopen(place.store, place.cache) as repository:
                    with contextlib.suppress(Unavailable):
                        assert restored(repository, "p") == CONTENT
                    assert restored(repository, "p") == CONTENT
                    assert repository.damaged_packs() == 0
            except BaseException as error:
                error.add_note(f"seed {seed}: {table}.{field} = {value}, one in {share}")
                raise
