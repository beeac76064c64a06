"""A retry of the store that helped is on the point and on the result, of every transfer that ran."""

import errno
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from services.chassis.errors import NotFound
from services.mover.adapters.memory_books import MemoryBooks
from services.mover.adapters.stores import Stores
from services.mover.app.board import Board
from services.mover.app.cancellation import Cancellation
from services.mover.app.noticing import Noticing
from services.mover.app.shelf import Shelf
from services.mover.app.store_news import StoreNews
from services.mover.app.verify import VerifyRunner
from services.mover.app.worker import Runner
from services.mover.domain.capture import Method, Remark
from services.mover.domain.outcome import Outcome
from services.mover.domain.placement import Mode, Placement
from services.mover.domain.transfer import Backup, Restore, Spec, Transfer, Verify
from services.mover.repository import MemoryStore
from services.mover.repository.types import Bytes
from tests.unit.mover.world import POOL, VM, PlainSealing, World, transfer_id


class RetryingStore(MemoryStore):
    """One whose puts of packs and points always work at the second try."""

    news: StoreNews

    def put(self, name: str, parts: Sequence[Bytes]) -> None:
        if name.startswith(("packs/", "points/")):
            self.news.tell("STORE_RETRIED", f"{name.partition('/')[0]} could not be written.")
        super().put(name, parts)

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        if name.startswith("packs/"):
            self.news.tell("STORE_READ_RETRIED", "packs could not be read.")
        return super().get(name, offset, length)


@pytest.fixture
async def world(tmp_path: Path) -> World:
    store = RetryingStore()
    store.news = StoreNews()
    made = await World(tmp_path, store=store).open()
    store.news = await made.shelf.news("main")
    return made


def codes(remarks: Sequence[Remark]) -> list[str]:
    return [remark.code for remark in remarks if remark.code.startswith("STORE_")]


async def backed_up(world: World) -> Outcome:
    spec = Backup(VM, "main", Method.NORMAL, full=False, policy="", run="", connections=1)
    transfer = Transfer(transfer_id(1), spec, world.clock.now(), attempt=1)
    runner = Noticing(world.backup_runner(), world.shelf)
    return await runner(transfer, spec, Board(), Cancellation())


async def test_a_backup_says_so_on_the_point_and_the_result_says_how_often_in_the_end(world: World) -> None:
    result = (await backed_up(world)).result
    assert result.point is not None
    on_point = [each for each in result.point.notices if each.code == "STORE_RETRIED"]
    on_result = [each for each in result.notices if each.code == "STORE_RETRIED"]
    assert ["packs could not be written. (2 such notices in all.)"] == [each.message for each in on_point]
    assert ["packs could not be written. (3 such notices in all.)"] == [each.message for each in on_result]


async def test_restores_and_verifications_say_so_too(world: World) -> None:
    await backed_up(world)
    restore = Restore("main", transfer_id(1), Placement(POOL, Mode.NEW_VM))
    verify = Verify(world.repository.repository_id, full=True)
    cases: list[tuple[Spec, Runner]] = [
        (restore, world.restore_runner()),
        (verify, VerifyRunner(world.shelf, world.books)),
    ]
    for number, (spec, runner) in enumerate(cases, 2):
        transfer = Transfer(transfer_id(number), spec, world.clock.now(), attempt=1)
        outcome = await Noticing(runner, world.shelf)(transfer, spec, Board(), Cancellation())
        assert ["STORE_READ_RETRIED"] == codes(outcome.result.notices)


async def test_what_was_told_before_or_after_is_not_its_own() -> None:
    news = StoreNews()
    news.tell("STORE_RETRIED", "before")
    with news.listening() as one, news.listening() as other:
        news.tell("STORE_RETRIED", "meanwhile")
    news.tell("STORE_RETRIED", "after")
    assert [Remark("STORE_RETRIED", "meanwhile")] == list(one.remarks()) == list(other.remarks())


async def test_a_repository_that_is_not_known_is_the_runners_to_answer(world: World) -> None:
    spec = Verify("nowhere", full=True)
    transfer = Transfer(transfer_id(9), spec, world.clock.now())
    with pytest.raises(NotFound, match="nowhere"):
        await Noticing(VerifyRunner(world.shelf, world.books), world.shelf)(
            transfer, spec, Board(), Cancellation()
        )


async def test_a_real_store_of_the_shelf_is_heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = Shelf(MemoryBooks(), PlainSealing(), Stores(), tmp_path / "cache")
    url = (tmp_path / "repository").as_uri()
    store, sync, failures = (
        shelf.store(url, create=True),
        os.fdatasync,
        [OSError(errno.EIO, "Input/output error")],
    )

    def fails_once(descriptor: int) -> None:
        if failures:
            raise failures.pop()
        sync(descriptor)

    monkeypatch.setattr(os, "fdatasync", fails_once)
    with shelf.news_at(url).listening() as heard:
        store.put("points/one", [b"content"])
    assert ["STORE_REWRITE"] == codes(heard.remarks())
