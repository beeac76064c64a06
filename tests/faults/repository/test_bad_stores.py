"""Stores that store or read wrongly, list late, expire and break off; clocks that jump; harmed caches."""

import errno
import os
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from services.chassis.errors import DataLoss, ResourceExhausted, Unavailable, XenkeepError
from services.mover.repository import DirectoryStore, MemoryStore, create_repository, open_repository
from services.mover.repository.store import StoredObject
from services.mover.repository.types import Bytes
from tests.faults.repository.faulty_store import FaultyStore
from tests.support.injections import Injections
from tests.unit.repository.world import (
    BLOCK,
    MIB,
    PASSPHRASE,
    QUICK,
    back_up,
    new_repository,
    noise,
    overwritten,
    reopen,
    restored,
)

CONTENT = noise(2 * MIB)
NEXT = overwritten(CONTENT, {BLOCK: noise(BLOCK, 1)})


class Misprinting(MemoryStore):
    """Acknowledges what it stores wrongly, from ``names`` on."""

    def __init__(self, names: str) -> None:
        super().__init__()
        self.names = names
        self.misprinted: list[str] = []

    def put(self, name: str, parts: Sequence[Bytes]) -> None:
        data = bytearray(b"".join(parts))
        if name.startswith(self.names):
            data[len(data) // 2] ^= 1
            self.misprinted.append(name)
        super().put(name, [bytes(data)])


@pytest.mark.scenario(8)
@pytest.mark.parametrize("names", ["packs/data/", "packs/meta/", "index/", "points/"])
def test_what_was_stored_otherwise_than_acknowledged_is_found_and_not_restored(
    tmp_path: Path, names: str
) -> None:
    store = Misprinting(names)
    with new_repository(store, tmp_path / "a") as repository:
        back_up(repository, "p", CONTENT)
    with reopen(store, tmp_path / "b") as repository:
        found = repository.verify(full=False)
        assert set(store.misprinted) <= {finding.object for finding in found.findings}
        assert found.damaged_points == ("p",)
        with pytest.raises(DataLoss):
            restored(repository, "p")
        store.names = "nothing"
        back_up(repository, "q", CONTENT)
        assert restored(repository, "q") == CONTENT


@pytest.mark.scenario(10)
@pytest.mark.parametrize("error", [Unavailable, ResourceExhausted])
def test_a_pack_whose_index_segment_cannot_be_written_is_no_loss_and_no_ghost(
    tmp_path: Path, error: type[XenkeepError]
) -> None:
    store = MemoryStore()
    new_repository(store, tmp_path / "c").close()

    def no_index(verb: str, name: str) -> None:
        if verb == "put" and name.startswith("index/"):
            raise error("The store does not take it.", reason="STORE_FULL", hint="Try later.")

    with reopen(FaultyStore(store, fault=no_index), tmp_path / "a") as repository:
        with pytest.raises(error, match="Try later"):
            back_up(repository, "p", CONTENT, transfer="t")
        assert repository.list_points() == []
    assert any(name.startswith("packs/") for name in store.objects)
    with reopen(store, tmp_path / "b") as repository:
        point = back_up(repository, "p", CONTENT, transfer="t")
        assert restored(repository, "p") == CONTENT
        assert repository.verify(full=True).findings == ()
    assert [notice.code for notice in point.notices] == []


@pytest.mark.scenario(13)
def test_a_bad_sector_is_told_by_a_verification_and_healed_by_the_next_backup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "store"
    with new_repository(DirectoryStore(place, create=True), tmp_path / "a") as repository:
        back_up(repository, "p", CONTENT)
        bad = next(path for path in sorted(place.glob("packs/data/*/*")))
        inode = bad.stat().st_ino

        def harmed(real: Callable[..., Any]) -> Callable[..., Any]:
            def read(descriptor: int, *what: Any) -> Any:
                if os.fstat(descriptor).st_ino == inode:
                    raise OSError(errno.EIO, os.strerror(errno.EIO))
                return real(descriptor, *what)

            return read

        for call in ("pread", "preadv"):
            monkeypatch.setattr(os, call, harmed(getattr(os, call)))
        with pytest.raises(XenkeepError, match="Input/output error"):
            restored(repository, "p")
        found = repository.verify(full=False)
        assert [str(bad.relative_to(place))] == [finding.object for finding in found.findings]
        assert found.damaged_points == ("p",)
        back_up(repository, "q", CONTENT)
        assert restored(repository, "q") == restored(repository, "p") == CONTENT


@pytest.mark.scenario(12, 13)
def test_a_store_that_went_away_is_not_taken_for_a_damaged_one(tmp_path: Path) -> None:
    store = MemoryStore()
    with new_repository(store, tmp_path / "a") as repository:
        back_up(repository, "p", CONTENT)

    def away(verb: str, name: str) -> None:
        if verb == "get":
            raise Unavailable(f"{name} cannot be read.", reason="STORE_IO_ERROR", hint="Mount it again.")

    faulty = FaultyStore(store)
    with reopen(faulty, tmp_path / "b") as repository:
        faulty._fault = away
        with pytest.raises(Unavailable):
            repository.verify(full=True)
        with pytest.raises(Unavailable):
            restored(repository, "p")
    assert not any(name.startswith("damage/") for name in store.objects)


@pytest.mark.scenario(14)
def test_listings_that_leave_things_out_cost_no_point(tmp_path: Path, injections: Injections) -> None:
    class Late(MemoryStore):
        hidden: set[str] = set()  # noqa: RUF012 - set by the test

        def list(self, prefix: str) -> Iterator[StoredObject]:
            return iter([found for found in super().list(prefix) if found.name not in self.hidden])

    store = Late()
    with new_repository(store, tmp_path / "a", pack_bytes=MIB) as repository:
        back_up(repository, "p", CONTENT)
    for number, name in enumerate(sorted(store.objects)):
        if name.startswith(("keys/", "epochs/")):
            continue
        store.hidden = {name}
        with injections.one(), reopen(store, tmp_path / f"b{number}") as repository:
            assert restored(repository, "p") == CONTENT
            back_up(repository, f"q{number}", NEXT, base="p", changed=[(BLOCK, BLOCK)])
            assert restored(repository, f"q{number}") == NEXT
    store.hidden = set()
    with reopen(store, tmp_path / "z") as repository:
        assert repository.verify(full=True).findings == ()


@pytest.mark.scenario(17)
def test_an_object_that_expired_is_damage_that_is_told_and_never_zeros(
    tmp_path: Path, injections: Injections
) -> None:
    store = MemoryStore()
    with new_repository(store, tmp_path / "a", pack_bytes=MIB) as repository:
        back_up(repository, "p", CONTENT)
    whole = dict(store.objects)
    for number, name in enumerate(sorted(whole)):
        if not name.startswith(("packs/", "index/")):
            continue
        store.objects = {other: data for other, data in whole.items() if other != name}
        with injections.one(), reopen(store, tmp_path / f"b{number}") as repository:
            with pytest.raises(DataLoss):
                restored(repository, "p")
            assert repository.verify(full=False).damaged_points == ("p",)
            back_up(repository, "q", CONTENT)
            assert restored(repository, "q") == CONTENT


class Jumping:
    """A clock that is somewhere else at every look: years back and forth, into and out of summer time."""

    def __init__(self) -> None:
        self._looks = 0

    def now(self) -> datetime:
        self._looks += 1
        hours = (0, -9000, 1, 300_000, -48, 4400)[self._looks % 6]
        return datetime(2026, 3, 29, 1, 30, tzinfo=UTC) + timedelta(hours=hours)

    def monotonic(self) -> float:
        return float(self._looks)


@pytest.mark.scenario(15)
def test_backups_and_restores_by_a_clock_that_jumps(tmp_path: Path) -> None:
    store = MemoryStore()
    clock = Jumping()
    create_repository(store, PASSPHRASE, tmp_path / "a", cost=QUICK, time=clock)[0].close()
    with open_repository(store, PASSPHRASE, tmp_path / "a", time=clock) as repository:
        back_up(repository, "p", CONTENT, transfer="t")
        back_up(repository, "q", NEXT, base="p", changed=[(BLOCK, BLOCK)], transfer="t")
        repository.keys.start_epoch()
        assert restored(repository, "p") == CONTENT
        assert restored(repository, "q") == NEXT
        assert repository.verify(full=True).findings == ()


@pytest.mark.scenario("PBS #5982")
@pytest.mark.parametrize("moment", [0, 4_102_444_800])
def test_times_of_files_mean_nothing(tmp_path: Path, moment: int) -> None:
    place = tmp_path / "store"
    with new_repository(DirectoryStore(place, create=True), tmp_path / "a") as repository:
        back_up(repository, "p", CONTENT)

    def set_times() -> None:
        for path in place.rglob("*"):
            os.utime(path, (moment, moment))

    set_times()
    with reopen(DirectoryStore(place), tmp_path / "b") as repository:
        back_up(repository, "q", NEXT, base="p", changed=[(BLOCK, BLOCK)])
        set_times()
        repository.rebuild_index()
        assert repository.verify(full=True).findings == ()
        assert restored(repository, "p") == CONTENT
        assert restored(repository, "q") == NEXT


def _files(cache: Path) -> list[Path]:
    return sorted(cache.glob("index-*.sqlite"))


def _files_gone(cache: Path) -> None:
    for path in cache.glob("index-*"):
        path.unlink()


CACHES: dict[str, Callable[[Path], Any]] = {
    "lost": _files_gone,
    "empty": lambda cache: _files(cache)[0].write_bytes(b""),
    "truncated": lambda cache: os.truncate(_files(cache)[0], 5000),
    "garbage in the middle": lambda cache: _overwrite(_files(cache)[0]),
}


def _overwrite(path: Path) -> None:
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    data = bytearray(path.read_bytes())
    data[4096:8192] = noise(4096)
    path.write_bytes(bytes(data))


@pytest.mark.scenario(19)
@pytest.mark.parametrize("harm", sorted(CACHES))
def test_a_harmed_cache_is_made_anew_or_said_to_be_broken(tmp_path: Path, harm: str) -> None:
    store = MemoryStore()
    with new_repository(store, tmp_path / "a", pack_bytes=MIB) as repository:
        back_up(repository, "p", CONTENT)
    CACHES[harm](tmp_path / "a")
    with reopen(store, tmp_path / "a") as repository:
        assert restored(repository, "p") == CONTENT
        back_up(repository, "q", NEXT, base="p", changed=[(BLOCK, BLOCK)])
        assert restored(repository, "q") == NEXT


@pytest.mark.scenario(5, 19)
def test_a_cache_that_cannot_be_made_is_an_error_that_names_it(tmp_path: Path) -> None:
    store = MemoryStore()
    new_repository(store, tmp_path / "a").close()
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(XenkeepError, match="index cache"):
        reopen(store, tmp_path / "file")
    cache = _files(tmp_path / "a")[0]
    _files_gone(tmp_path / "a")
    cache.mkdir()
    with pytest.raises(XenkeepError, match="index cache"):
        reopen(store, tmp_path / "a")
