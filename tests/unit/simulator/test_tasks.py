"""Tasks that nobody destroys, and the sessions that asked for them."""

import pytest

from services.chassis.clock import FakeClock
from services.chassis.ids import RandomIds
from services.simulator.database.database import Database
from services.simulator.failure import XapiFailure
from services.simulator.model.schema import load_model
from services.simulator.pool.sessions import IDLE_LIMIT, PER_USER, Sessions, User
from services.simulator.pool.tasks import (
    COLLECTION_INTERVAL,
    FINISHED_LIFE,
    MAX_TASKS,
    PENDING_LIFE,
    Tasks,
)

INTERVAL_S = COLLECTION_INTERVAL.total_seconds()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def db() -> Database:
    return Database(load_model("23.1.0"))


@pytest.fixture
def tasks(db: Database, clock: FakeClock) -> Tasks:
    return Tasks(db, clock, RandomIds())


@pytest.fixture
def sessions(db: Database, clock: FakeClock) -> Sessions:
    return Sessions(db, clock, RandomIds(), [User("root", "pw"), User("guest", "pw")], 0.0)


async def look(tasks: Tasks, clock: FakeClock) -> None:
    """Time for the next look at old tasks has come, and another task begins."""
    await clock.advance(INTERVAL_S)
    tasks.discard(tasks.create("another", "", "host"))


async def test_a_task_that_ended_long_ago_is_gone(tasks: Tasks, db: Database, clock: FakeClock) -> None:
    done = tasks.create("done", "", "host")
    tasks.succeed(done, None)
    await clock.advance(FINISHED_LIFE.total_seconds() - INTERVAL_S)
    await look(tasks, clock)
    assert db.find("task", done)
    await look(tasks, clock)
    assert not db.find("task", done)


async def test_a_task_that_its_client_ends_does_not_stay(
    tasks: Tasks, db: Database, clock: FakeClock
) -> None:
    driven = tasks.create("driven", "", "host")
    db.set("task", driven, "status", "success")
    tasks.create("at once", "", "host")
    assert db.find("task", driven)
    await look(tasks, clock)
    assert not db.find("task", driven)


async def test_a_task_that_began_a_day_ago_is_gone_when_it_gets_no_further(
    tasks: Tasks, db: Database, clock: FakeClock
) -> None:
    stuck, slow = tasks.create("stuck", "", "host"), tasks.create("slow", "", "host")
    await clock.advance(PENDING_LIFE.total_seconds())
    await look(tasks, clock)
    assert db.find("task", stuck)
    tasks.progress(slow, 0.5)
    await look(tasks, clock)
    assert [db.find("task", ref) is not None for ref in (stuck, slow)] == [False, True]
    await look(tasks, clock)
    assert not db.find("task", slow)


async def test_those_that_ended_first_make_room(tasks: Tasks, db: Database, clock: FakeClock) -> None:
    pending, last = tasks.create("pending", "", "host"), tasks.create("last", "", "host")
    for number in range(MAX_TASKS):
        tasks.succeed(tasks.create(str(number), "", "host"), None)
        if not number:
            await clock.advance(1)
    tasks.succeed(last, None)
    assert len(db.rows("task")) == MAX_TASKS + 2
    await look(tasks, clock)
    assert len(db.rows("task")) == MAX_TASKS
    assert db.find("task", pending)
    assert db.find("task", last)
    assert "0" not in {row["name_label"] for row in db.rows("task")}


async def test_a_session_is_in_use_while_a_task_of_its_has_not_ended(
    tasks: Tasks, sessions: Sessions, clock: FakeClock
) -> None:
    ref = await sessions.log_in("host", "root", "pw", "")
    task = tasks.create("export", "", "host", session=ref)
    assert sessions.alive(ref)["tasks"] == [task]
    await clock.advance(2 * IDLE_LIMIT.total_seconds())
    assert sessions.alive(ref)
    tasks.succeed(task, None)
    with pytest.raises(XapiFailure, match="SESSION_INVALID"):
        sessions.alive(ref)


async def test_a_task_that_is_gone_is_not_its_sessions_any_more(tasks: Tasks, sessions: Sessions) -> None:
    ref = await sessions.log_in("host", "root", "pw", "")
    first, second = (tasks.create(name, "", "host", session=ref) for name in "ab")
    tasks.discard(first)
    assert sessions.alive(ref)["tasks"] == [second]


async def test_a_session_in_use_makes_no_room(tasks: Tasks, sessions: Sessions, clock: FakeClock) -> None:
    busy = await sessions.log_in("host", "guest", "pw", "me")
    idle = await sessions.log_in("host", "guest", "pw", "another")
    task = tasks.create("export", "", "host", session=busy)
    await clock.advance(2)
    for _ in range(PER_USER):
        await sessions.log_in("host", "guest", "pw", "me")
    with pytest.raises(XapiFailure, match="SESSION_INVALID"):
        sessions.alive(idle)
    assert tasks.belongs_to(task, "guest")
    assert not tasks.belongs_to(task, "root")


async def test_nobody_owns_the_task_of_a_session_that_ended(tasks: Tasks, sessions: Sessions) -> None:
    ref = await sessions.log_in("host", "guest", "pw", "")
    task = tasks.create("export", "", "host", session=ref)
    sessions.end(ref)
    assert not tasks.belongs_to(task, "guest")
