"""Which points a lost chunk or page spoils, told from the difference between their maps."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.mover.repository import BackupOptions, MemoryStore, Repository
from services.mover.repository.diskmap import Shape
from services.mover.repository.format.blob import BlobType
from services.mover.repository.format.page import Entry, decode_page
from services.mover.repository.pagecheck import Culprits, PageChecker
from tests.unit.repository.world import BLOCK, KIB, MIB, back_up, new_repository, noise, overwritten

FIRST = noise(8 * MIB, 1)
NEXT = noise(MIB, 2) + FIRST[MIB:]
LAST = overwritten(NEXT, {5 * MIB: noise(BLOCK, 3)})
IN_ORDER = BackupOptions(readers=1, workers=1, uploads=1)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def repository(store: MemoryStore, tmp_path: Path) -> Iterator[Repository]:
    """Three points of one disk: the second replaces the first four chunks, the third one block."""
    with new_repository(store, tmp_path, 256 * KIB, MIB) as made:
        back_up(made, "first", FIRST, options=IN_ORDER)
        back_up(made, "next", NEXT, base="first", changed=[(0, MIB)], options=IN_ORDER)
        back_up(made, "last", LAST, base="next", changed=[(5 * MIB, BLOCK)], options=IN_ORDER)
        yield made


def entry(repository: Repository, point_id: str, chunk: int) -> Entry:
    disk = repository.get_point(point_id).disk("d")
    assert disk is not None
    return dict(repository._context.disk_map(disk).entries())[chunk]


def damaged(repository: Repository, lost: set[bytes]) -> set[str]:
    """Points whose disk is spoilt when these blobs are lost."""
    context = repository._context

    def culprits(ids: object) -> dict[bytes, Culprits]:
        assert isinstance(ids, list)
        return {id_: {"pack": "it is lost"} for id_ in ids if id_ in lost}

    found = set()
    with PageChecker(context, culprits) as checker:
        for point_id in repository.list_points():
            disk = repository.get_point(point_id).disk("d")
            assert disk is not None and disk.root is not None
            shape = Shape(disk.size_bytes, context.chunk_bytes)
            if checker.culprits(disk.root, shape.levels, shape.chunks):
                found.add(point_id)
    return found


def test_later_pages_are_differences(repository: Repository) -> None:
    context = repository._context
    for point_id, depth in (("first", 0), ("next", 1), ("last", 2)):
        disk = repository.get_point(point_id).disk("d")
        assert disk is not None and disk.root is not None
        page = decode_page(context.reader.read(disk.root, BlobType.PAGE), 4, "page")
        assert page.depth == depth


def test_everything_is_whole_until_something_is_lost(repository: Repository) -> None:
    assert damaged(repository, set()) == set()


def test_a_chunk_that_was_replaced_spoils_the_points_before(repository: Repository) -> None:
    chunk = entry(repository, "first", 2).chunk
    assert chunk is not None
    assert damaged(repository, {chunk}) == {"first"}


def test_a_chunk_that_stayed_spoils_all_points(repository: Repository) -> None:
    chunk = entry(repository, "first", 20).chunk
    assert chunk is not None
    assert damaged(repository, {chunk}) == {"first", "next", "last"}


def test_a_patch_spoils_the_points_that_have_it(repository: Repository) -> None:
    (patch,) = entry(repository, "last", 20).patches
    assert patch.group is not None
    assert damaged(repository, {patch.group}) == {"last"}


def test_a_page_spoils_whatever_differs_from_it(repository: Repository, store: MemoryStore) -> None:
    roots = {}
    for point_id in repository.list_points():
        disk = repository.get_point(point_id).disk("d")
        assert disk is not None and disk.root is not None
        roots[point_id] = disk.root
    (place,) = repository._context.index.find([roots["next"]])[roots["next"]]
    del store.objects[place.pack.name]
    assert damaged(repository, set()) == {"next", "last"}
