"""A place that is emptied, or filled with another repository, under a mover that has one open there."""

from collections.abc import Callable
from pathlib import Path

import pytest

from services.chassis.errors import FailedPrecondition
from services.mover.repository import MemoryStore, Repository
from tests.unit.repository.world import MIB, QUICK, back_up, new_repository, noise, reopen, restored

CONTENT = noise(MIB)
HEADER = "xenkeep-repository.json"
WRITING: dict[str, Callable[[Repository], object]] = {
    "backup": lambda repository: back_up(repository, "q", noise(MIB, 2)),
    "delete": lambda repository: repository.delete_point("p", keep=0),
    "take back": lambda repository: repository.undelete_point("p"),
    "prune": lambda repository: repository.prune(),
    "add a key": lambda repository: repository.keys.add_passphrase("k", "long enough", cost=QUICK),
    "look": lambda repository: repository.require_there(),
}


def _emptied(store: MemoryStore, path: Path) -> None:
    store.objects = {}


def _replaced(store: MemoryStore, path: Path) -> None:
    other = MemoryStore()
    with new_repository(other, path) as repository:
        back_up(repository, "other", CONTENT)
    store.objects = dict(other.objects)


def _copied_over(store: MemoryStore, path: Path) -> None:
    before = dict(store.objects)
    _replaced(store, path)
    store.objects = before | store.objects


@pytest.mark.parametrize("verb", sorted(WRITING))
@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (_emptied, "REPOSITORY_GONE"),
        (_replaced, "REPOSITORY_REPLACED"),
        (_copied_over, "REPOSITORY_REPLACED"),
    ],
)
def test_nothing_is_written_where_the_repository_is_no_more(
    tmp_path: Path, harm: Callable[[MemoryStore, Path], None], reason: str, verb: str
) -> None:
    store = MemoryStore()
    with new_repository(store, tmp_path / "a") as repository:
        back_up(repository, "p", CONTENT)
        mine = dict(store.objects)
        harm(store, tmp_path / "b")
        found = dict(store.objects)
        with pytest.raises(FailedPrecondition) as refused:
            WRITING[verb](repository)
        assert reason == refused.value.reason and refused.value.hint
        assert found == store.objects
        store.objects = mine
        back_up(repository, "later", CONTENT)
        assert CONTENT == restored(repository, "later")


@pytest.mark.scenario(33)
@pytest.mark.parametrize("left", [None, b"", b"{}", b"x" * 70_000])
def test_a_header_that_is_lost_alone_is_written_again_by_the_next_backup(
    tmp_path: Path, left: bytes | None
) -> None:
    store = MemoryStore()
    with new_repository(store, tmp_path / "a") as repository:
        header = store.objects.pop(HEADER)
        if left is not None:
            store.objects[HEADER] = left
        repository.require_there()
        assert left == store.objects.get(HEADER)
        back_up(repository, "p", CONTENT)
        assert header == store.objects[HEADER]
        assert ["HEADER_REMADE"] == [code for code, _ in repository.notices]
    with reopen(store, tmp_path / "b") as repository:
        assert CONTENT == restored(repository, "p")


def test_without_a_key_nothing_is_backed_up_until_there_is_one(tmp_path: Path) -> None:
    store = MemoryStore()
    with new_repository(store, tmp_path / "a") as repository:
        for name in [name for name in store.objects if name.startswith("keys/")]:
            del store.objects[name]
        before = dict(store.objects)
        with pytest.raises(FailedPrecondition) as refused:
            back_up(repository, "p", CONTENT)
        assert (
            "REPOSITORY_KEYS_MISSING" == refused.value.reason and "xenkeep repo key add" in refused.value.hint
        )
        assert before | {"reserve/ballast": b""} == store.objects | {"reserve/ballast": b""}
        repository.keys.add_passphrase("k", "correct horse battery", cost=QUICK)
        back_up(repository, "p", CONTENT)
    with reopen(store, tmp_path / "b") as repository:
        assert CONTENT == restored(repository, "p")
