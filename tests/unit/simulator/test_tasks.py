"""Tasks that nobody destroys."""

import pytest

from services.chassis.clock import FakeClock
from services.chassis.ids import RandomIds
from services.simulator.database.database import Database
from services.simulator.model.schema import load_model
from services.simulator.pool.tasks import FINISHED_LIFE, MAX_TASKS, PENDING_LIFE, Tasks


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def db() -> Database:
    return Database(load_model("23.1.0"))


@pytest.fixture
def tasks(db: Database, clock: FakeClock) -> Tasks:
    return Tasks(db, clock, RandomIds())


async def test_an_old_task_is_gone_when_another_begins(tasks: Tasks, db: Database, clock: FakeClock) -> None:
    done, pending, driven = (tasks.create(name, "", "host") for name in ("done", "pending", "driven"))
    tasks.succeed(done, None)
    db.set("task", driven, "status", "success")  # as a client that drives its own task does
    await clock.advance(FINISHED_LIFE.total_seconds() - 1)
    tasks.create("in time", "", "host")
    assert all(db.find("task", ref) for ref in (done, pending, driven))
    await clock.advance(2)
    tasks.create("later", "", "host")
    assert [db.find("task", ref) is not None for ref in (done, pending, driven)] == [False, True, False]
    await clock.advance(PENDING_LIFE.total_seconds())
    tasks.create("a day later", "", "host")
    assert db.find("task", pending) is None


async def test_the_oldest_finished_tasks_make_room(tasks: Tasks, db: Database) -> None:
    pending = tasks.create("pending", "", "host")
    first = tasks.create("first", "", "host")
    tasks.succeed(first, None)
    for number in range(MAX_TASKS):
        last = tasks.create(str(number), "", "host")
        tasks.succeed(last, None)
    assert len(db.rows("task")) == MAX_TASKS
    assert [db.find("task", ref) is not None for ref in (pending, first, last)] == [True, False, True]
