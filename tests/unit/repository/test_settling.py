"""Who prunes waits for writers that live, and takes nobody's right away before the time is over."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from services.mover.repository import MemoryStore, create_repository
from services.mover.repository.context import Context
from services.mover.repository.format.names import point_name
from services.mover.repository.leases import take_lease
from services.mover.repository.plans import put_plan
from services.mover.repository.points import exists, is_revoked
from services.mover.repository.pruning.settling import Settling
from tests.unit.repository.world import PASSPHRASE, QUICK

PATIENCE_S = 900.0


@dataclass
class Clocks:
    """A wall clock that somebody sets, by years and backwards, and one that goes on as it should."""

    wall: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    elapsed: float = 1.0

    def now(self) -> datetime:
        return self.wall

    def monotonic(self) -> float:
        return self.elapsed


@dataclass
class Waiting:
    """Somebody who prunes, has a plan, and counts how long it has waited for whom."""

    context: Context
    clocks: Clocks
    plan_id: str
    waited: float = 0.0
    meanwhile: Callable[[], None] = lambda: None

    def settle(self) -> Settling:
        self.settling = Settling(self.context, PATIENCE_S, self.pause)
        self.older = self.settling.older([self.plan_id])[self.plan_id]
        return self.settling

    def pause(self, seconds: float) -> None:
        assert not exists(self.context, point_name("slow")), f"revoked after {self.waited} s"
        self.waited += seconds
        self.clocks.elapsed += seconds
        self.meanwhile()


@pytest.fixture
def waiting(tmp_path: Path) -> Iterator[Waiting]:
    clocks = Clocks()
    repository, _ = create_repository(MemoryStore(), PASSPHRASE, tmp_path, cost=QUICK, time=clocks)
    with repository:
        take_lease(repository._context, "slow")
        yield Waiting(repository._context, clocks, put_plan(repository._context, []).plan_id)


@pytest.mark.parametrize("jump", [timedelta(), timedelta(days=1000), timedelta(days=-1000)])
def test_a_writer_that_is_silent_keeps_its_right_until_the_time_is_over(
    waiting: Waiting, jump: timedelta
) -> None:
    """Whatever the wall clock says meanwhile."""

    def set_clock() -> None:
        waiting.clocks.wall = Clocks.wall + jump

    waiting.meanwhile = set_clock
    settling = waiting.settle()
    assert (PATIENCE_S, set[str](), ["slow"]) == (waiting.waited, waiting.older, settling.revoked)
    assert is_revoked(waiting.context, point_name("slow"))


def test_a_writer_that_shows_itself_at_the_last_moment_is_waited_for(waiting: Waiting) -> None:
    writer = take_lease(waiting.context, "slow")  # it went on on another mover; both are older than the plan
    waiting.plan_id = put_plan(waiting.context, []).plan_id

    def show() -> None:
        if waiting.waited >= PATIENCE_S:
            writer.beat()

    waiting.meanwhile = show
    settling = waiting.settle()
    assert (PATIENCE_S, {"slow"}, []) == (waiting.waited, waiting.older, settling.revoked)
    writer.require()


def test_a_writer_that_knows_the_plan_is_not_waited_for(waiting: Waiting) -> None:
    for name in [stored.name for stored in waiting.context.store.list("leases/")]:
        waiting.context.store.delete(name)
    take_lease(waiting.context, "slow")
    settling = waiting.settle()
    assert (0.0, set[str](), []) == (waiting.waited, waiting.older, settling.revoked)
    assert not exists(waiting.context, point_name("slow"))


def test_a_writer_is_waited_for_as_long_as_one_lease_of_its_point_is_older(waiting: Waiting) -> None:
    """A younger one beside it may be that of the next mover, and of neither is known which one lives."""
    take_lease(waiting.context, "slow")
    assert ["slow"] == waiting.settle().revoked
    assert PATIENCE_S == waiting.waited


def test_a_lease_that_cannot_be_read_may_be_older(tmp_path: Path) -> None:
    store, clocks = MemoryStore(), Clocks()
    repository, _ = create_repository(store, PASSPHRASE, tmp_path, cost=QUICK, time=clocks)
    with repository:
        waiting = Waiting(repository._context, clocks, put_plan(repository._context, []).plan_id)
        take_lease(waiting.context, "slow")
        (lease,) = store.list("leases/")
        store.objects[lease.name] = b"{"
        assert ["slow"] == waiting.settle().revoked
        assert PATIENCE_S == waiting.waited


def test_nobody_waits_for_a_lease_whose_point_is_made(waiting: Waiting) -> None:
    """Its writer was killed between the two."""
    waiting.context.store.put(point_name("slow"), [b"a point"])
    settling = waiting.settle()
    assert (0.0, set[str](), []) == (waiting.waited, waiting.older, settling.revoked)
