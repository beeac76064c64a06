"""One law for every ledger: in memory, on SQLite and on PostgreSQL."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from services.chassis.sql import Database
from services.scheduler.adapters.memory_ledger import MemoryLedger
from services.scheduler.adapters.sql_ledger import SqlLedger
from services.scheduler.app.record import record
from services.scheduler.domain import task as tasks
from services.scheduler.domain.notes import Failure, Notice
from services.scheduler.domain.policy import Limits, Method, Policy, RetryRule, Selector
from services.scheduler.domain.run import (
    BackupRun,
    BackupTerms,
    Placement,
    PlacementMode,
    PolicyRun,
    RestoreRun,
    RestoreTerms,
    Run,
    RunState,
    begun,
    refused,
    with_task,
)
from services.scheduler.domain.task import Progress, Task
from services.scheduler.ports import Ledger
from tests.unit.scheduler.fakes import START

MIGRATIONS = "services.scheduler.migrations"
MINUTE = timedelta(minutes=1)


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
async def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Ledger]:
    if request.param == "memory":
        yield MemoryLedger()
        return
    url, service = f"sqlite+aiosqlite:///{tmp_path / 'scheduler.sqlite'}", "scheduler"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_url")
        service = f"scheduler-{abs(hash(str(tmp_path)))}"
    async with Database(url, service, MIGRATIONS) as database:
        yield SqlLedger(database)


def policy(policy_id: str, minute: int | None = None) -> Policy:
    return Policy(
        policy_id,
        Selector("p", ("a",), ("t",), True, ("b",)),
        "main",
        Method.OFFLINE,
        schedule="0 1 * * *",
        time_zone="Europe/Berlin",
        retry=RetryRule(2, timedelta(seconds=1.5)),
        limits=Limits(1, 2, 3),
        next_run_time=None if minute is None else START + minute * MINUTE,
        etag="e",
        create_time=START,
    )


def run(run_id: str, minute: int = 0, policy_id: str = "") -> Run:
    spec = PolicyRun(policy_id) if policy_id else BackupRun(("a",), "main")
    terms = BackupTerms(Selector(vms=("a",)), "r", Method.NORMAL, True, policy_id=policy_id, site="x")
    return Run(run_id, spec, terms, START + minute * MINUTE, request_id=f"request-{run_id}")


def task_of(run: Run, number: int) -> Task:
    return Task(
        run.run_id, f"{run.run_id}-{number}", number, f"pools/p/vms/{number}", f"vm {number}", "p", "h"
    )


def started(run: Run, *numbers: int) -> Run:
    begun_run = begun(run, run.terms, tuple(task_of(run, n) for n in numbers), START)
    for task in begun_run.tasks:
        begun_run = with_task(begun_run, tasks.started(task, f"t-{task.task_id}", START), START)
    return begun_run


async def put(ledger: Ledger, *things: Run | Policy) -> None:
    async with ledger.writing() as work:
        for thing in things:
            if isinstance(thing, Policy):
                await work.policies.put(thing)
            else:
                await work.runs.put(thing)


async def test_a_policy_comes_back_as_it_was_put(ledger: Ledger) -> None:
    await put(ledger, policy("one", 5))
    changed = replace(policy("one", 7), paused=True)
    await put(ledger, changed)
    async with ledger.reading() as work:
        assert await work.policies.get("one") == changed
        assert await work.policies.get("two") is None


async def test_policies_are_paged_by_id_and_gone_when_deleted(ledger: Ledger) -> None:
    await put(ledger, *(policy(name) for name in ("c", "a", "b")))
    async with ledger.writing() as work:
        assert [p.policy_id for p in await work.policies.page("", 2)] == ["a", "b"]
        await work.policies.delete("b")
        assert [p.policy_id for p in await work.policies.page("a", 2)] == ["c"]


async def test_policies_are_due_in_the_order_of_their_times(ledger: Ledger) -> None:
    await put(ledger, policy("late", 9), policy("second", 2), policy("first", 1), policy("never"))
    async with ledger.reading() as work:
        assert [p.policy_id for p in await work.policies.due(START + 2 * MINUTE)] == ["first", "second"]
        assert await work.policies.next_run_time() == START + MINUTE


async def test_a_run_comes_back_with_its_tasks_in_order(ledger: Ledger) -> None:
    whole = started(run("r", policy_id="p"), *range(12))
    first = whole.tasks[0]
    first = tasks.progressed(first, first.transfer_id, Progress(5, 4, 3, 2, "reads"), START)
    first = replace(
        first, notices=(Notice("TRY_FAILED", "once"),), failure=Failure("Internal", "X", "m", "h")
    )
    whole = with_task(whole, tasks.finished(first, first.transfer_id, b"\x00\xff", START), START)
    whole = replace(whole, notices=(Notice("FIRED_LATE", "late"),), try_time=START + MINUTE, tries=3)
    await put(ledger, whole)
    async with ledger.reading() as work:
        assert await work.runs.get("r") == whole
        assert await work.runs.of_transfer("t-r-7") == whole
        assert await work.runs.of_transfer("t-r-99") is None
        assert await work.runs.of_request("request-r") == whole
        assert await work.runs.get("s") is None


async def test_a_restore_comes_back_as_it_was_put(ledger: Ledger) -> None:
    placement = Placement("pools/p", "sr", PlacementMode.ORIGINAL, "name", True, True)
    restore = Run("r", RestoreRun("point", placement), RestoreTerms("point", "a", "r", placement), START)
    await put(ledger, restore)
    async with ledger.reading() as work:
        assert await work.runs.get("r") == restore


async def test_a_changed_task_is_found_under_its_new_transfer_only(ledger: Ledger) -> None:
    before = started(run("r"), 0, 1)
    await put(ledger, before)
    rule = RetryRule(1)
    failure = Failure("Unavailable", "X", "m", "h")
    task = before.tasks[0]
    again = tasks.failed(task, task.transfer_id, failure, retryable=True, rule=rule, now=START)
    async with ledger.writing() as work:
        current = await work.runs.get("r")
        assert current is not None
        await work.runs.put(with_task(current, tasks.started(again, "t-new", START), START))
    async with ledger.reading() as work:
        assert await work.runs.of_transfer("t-r-0") is None
        found = await work.runs.of_transfer("t-new")
        assert found is not None
        assert [each.transfer_id for each in found.tasks] == ["t-new", "t-r-1"]


async def test_what_has_not_ended_is_under_way_the_oldest_first(ledger: Ledger) -> None:
    ended = refused(run("ended", policy_id="nightly"), Failure("Internal", "X", "x"), START)
    young, old = started(run("young", 2, "nightly"), 0), run("old", 1)
    await put(ledger, ended, young, old)
    async with ledger.reading() as work:
        assert await work.runs.under_way() == [old, young]
        assert await work.runs.active_of_policy("nightly") == young
        assert await work.runs.active_of_policy("weekly") is None


async def test_runs_are_paged_newest_first_and_a_page_stays_where_it_was(ledger: Ledger) -> None:
    await put(ledger, run("a", 1), run("b", 2), run("c", 2), started(run("d", 3), 0))
    async with ledger.reading() as work:
        first = await work.runs.page(None, 2)
    assert [(each.run_id, each.tasks) for each in first] == [("d", ()), ("c", ())]
    await put(ledger, run("e", 4))
    async with ledger.reading() as work:
        second = await work.runs.page((first[-1].create_time, first[-1].run_id), 5)
    assert [each.run_id for each in second] == ["b", "a"]


@pytest.mark.parametrize(
    ("prefix", "count"), [("abcdefgh", 2), ("abcdefgh-1", 1), ("abc%", 0), ("________", 0)]
)
async def test_ids_are_found_by_their_beginning(ledger: Ledger, prefix: str, count: int) -> None:
    await put(ledger, run("abcdefgh-1"), run("abcdefgh-2"))
    async with ledger.reading() as work:
        assert len(await work.runs.ids_starting_with(prefix)) == count


async def test_a_unit_that_raises_leaves_nothing(ledger: Ledger) -> None:
    with pytest.raises(ZeroDivisionError):
        async with ledger.writing() as work:
            await record(work, None, started(run("r"), 0))
            raise ZeroDivisionError
    async with ledger.reading() as work:
        assert await work.runs.under_way() == []


async def test_a_unit_sees_what_it_has_put(ledger: Ledger) -> None:
    async with ledger.writing() as work:
        await record(work, None, run("r", policy_id="nightly"))
        active = await work.runs.active_of_policy("nightly")
        assert active is not None
        assert active.state is RunState.PENDING
