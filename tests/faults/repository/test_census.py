"""The local index is emptied, repaired or made anew while a prune of the same mover counts by it."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from services.chassis.errors import Unavailable
from services.mover.repository import MemoryStore, PruneOptions, Repository
from services.mover.repository import index as index_module
from services.mover.repository.context import Context
from services.mover.repository.format.names import PACKS
from services.mover.repository.indexfile import CACHE_REMADE
from services.mover.repository.indexing import listed_segments, records_of, sync_index
from services.mover.repository.pruning import prune as prune_module
from services.mover.repository.pruning.census import Census, take_census
from tests.support.injections import Injections
from tests.support.scenarios import THOROUGH
from tests.unit.repository.world import BLOCK, back_up, new_repository, noise, reopen, restored

pytestmark = pytest.mark.scenario(19, 24)
NOW = PruneOptions(grace_seconds=0, patience_seconds=0, workers=1)
GONE, A, B = noise(6 * BLOCK, 1), noise(9 * BLOCK, 2), noise(7 * BLOCK, 3)
POINTS = {"a": A, "b": B + A[: 3 * BLOCK], "c": GONE[: 2 * BLOCK] + A}


def _clear(context: Context) -> None:
    context.index.clear()


def _clear_and_fill(context: Context) -> None:
    """In another order, so that no pack has the place it had."""
    context.index.clear()
    sync_index(context)


def _repair(context: Context) -> None:
    packs = {pack.sha256: pack.kind for pack in context.index.packs()}
    for record in sorted(records_of(context, packs), key=lambda record: record.sha256):
        context.index.replace_pack(record, b"")


def _begin_anew(context: Context) -> None:
    """The same numbers for other packs than those that a filling gives them."""
    context.index._file._failed(sqlite3.DatabaseError("malformed"))
    for name in sorted(listed_segments(context), reverse=True):
        context.take_segment(name)


def _remake(context: Context) -> None:
    """As when another thread finds the file broken: numbers begin anew."""
    context.index._file._failed(sqlite3.DatabaseError("malformed"))
    sync_index(context)


CHANGES: dict[str, Callable[[Context], None]] = {
    "cleared": _clear,
    "cleared and filled": _clear_and_fill,
    "made anew": _remake,
    "repaired": _repair,
}


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Packs that nobody needs, that somebody needs, of which some is needed, one that no segment lists, and
    one that is in a segment alone.
    """
    store, folder = MemoryStore(), tmp_path_factory.mktemp("made")
    with new_repository(store, folder, BLOCK, 4 * BLOCK) as repository:
        back_up(repository, "gone", GONE)
        back_up(repository, "lost", noise(2 * BLOCK, 9))
        for point, content in POINTS.items():
            back_up(repository, point, content)
        (lost, *_) = repository._context.index.find(_chunks(repository, "lost")).values()
        repository.delete_point("gone", keep=0, purge=True)
        repository.delete_point("lost", keep=0, purge=True)
    del store.objects[lost[0].pack.name]
    return store.objects


def _chunks(repository: Repository, point: str) -> list[bytes]:
    disk = repository.get_point(point).disk("d")
    assert disk is not None
    return [id_ for _, entry in repository._context.disk_map(disk).entries() for id_ in entry.blob_ids()]


class Watched:
    """A prune whose census is disturbed before its ``step``-th look into the index, and kept."""

    def __init__(self, change: Callable[[Context], None], step: int) -> None:
        self.change, self.step, self.looks = change, step, 0
        self.census: Census | None = None

    def take_census(self, context: Context, *rest: object) -> Census:
        file, counting = context.index._file, True
        real = file.reading

        @contextmanager
        def reading() -> Iterator[sqlite3.Connection]:
            nonlocal counting
            if counting:
                self.looks += 1
                if self.looks == self.step + 1:
                    counting = False
                    self.change(context)
            with real() as db:
                yield db

        file.reading = reading  # type: ignore[method-assign]
        try:
            self.census = take_census(context, *rest)  # type: ignore[arg-type]
        finally:
            file.reading = real  # type: ignore[method-assign]
        return self.census


@pytest.mark.parametrize("what", sorted(CHANGES))
def test_an_index_that_changes_while_a_prune_counts_loses_nothing(
    before: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    injections: Injections,
    what: str,
) -> None:
    """No pack with anything needed is called unused, nor one that is there a ghost; and points restore."""
    monkeypatch.setattr(index_module, "_BATCH", 2)
    monkeypatch.setattr(index_module, "_SCAN", 7)
    step, finished = 0, False
    while not finished:
        store = MemoryStore()
        store.objects = dict(before)
        watched = Watched(CHANGES[what], step)
        monkeypatch.setattr(prune_module, "take_census", watched.take_census)
        with reopen(store, tmp_path / f"here-{step}") as repository:
            needed = {id_ for point in POINTS for id_ in _chunks(repository, point)}
            packs = list(records_of(repository._context, _packs(store)))
            _begin_anew(repository._context)
            try:
                repository.prune(NOW)
            except Unavailable as error:
                assert (what, CACHE_REMADE) == ("made anew", error.reason)
            finished = watched.looks <= step
            if watched.census is not None:
                unused = {pack.sha256 for pack in watched.census.unused}
                for pack in packs:
                    assert pack.sha256 not in watched.census.ghosts
                    if pack.sha256 in unused:
                        assert not needed.intersection(entry.id for entry in pack.entries)
            monkeypatch.setattr(prune_module, "take_census", take_census)
            assert repository.prune(NOW).waiting_packs == 0
        with injections.one(), reopen(store, tmp_path / f"there-{step}") as repository:
            for point, content in POINTS.items():
                assert content == restored(repository, point)
            assert repository.verify(full=True).findings == ()
            assert {pack.name for pack in repository._context.index.packs()} == {
                name for name in store.objects if name.startswith(PACKS)
            }
        step += 1 if THOROUGH else 5
    assert step > 9


def _packs(store: MemoryStore) -> dict[bytes, str]:
    names = [name for name in store.objects if name.startswith(PACKS)]
    return {bytes.fromhex(name[-64:]): name.split("/")[1] for name in names}
