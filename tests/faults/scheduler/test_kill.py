"""The scheduler killed at every stage of a run: nothing is fired, enqueued or told twice, and it ends."""

import asyncio
import signal
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from xenkeep.scheduler.v1 import events_pb2, run_pb2

from services.chassis.bus.subscribe import tail
from services.chassis.sql import Database
from services.scheduler.__main__ import MIGRATIONS
from services.scheduler.adapters.sql_ledger import SqlLedger
from services.scheduler.domain.policy import Policy, Selector
from tests.integration.scheduler.scripted_mover import hang
from tests.integration.scheduler.stack import Stack, scheduler_stack, scheduler_stubs
from tests.support.nats import NatsServer
from tests.support.waiting import PATIENCE_S

READY: Any = {"timeout": 90, "wait_for_ready": True}
MORTAL = "tests.faults.scheduler.mortal"
VMS = ("db", "mail", "web")
ENDS = (events_pb2.RunFinished, events_pb2.RunFailed, events_pb2.RunCancelled)


async def make_due_policy(stack: Stack) -> None:
    """A policy whose time has come while the scheduler is down."""
    now = datetime.now(UTC)
    policy = Policy(
        "nightly",
        Selector(all=True),
        "main",
        schedule="0 0 1 1 *",
        next_run_time=now - timedelta(days=1),
        etag="e",
        create_time=now,
    )
    folder = stack.scheduler.directory / "scheduler"
    folder.mkdir()
    file = f"sqlite+aiosqlite:///{folder / 'scheduler.sqlite'}"
    database = Database(stack.scheduler.env.get("XENKEEP_DATABASE_URL", file), "scheduler", MIGRATIONS)
    async with database, SqlLedger(database).writing() as work:
        await work.policies.put(policy)


async def live_and_die(stack: Stack, die_at: str) -> bool:
    """Start it and wait for its death; False when it outlived its chance to die."""
    await stack.scheduler.start(MORTAL, DIE_AT=die_at)
    try:
        code = await asyncio.wait_for(stack.scheduler.wait(), PATIENCE_S)
    except TimeoutError:
        await stack.scheduler.end(signal.SIGKILL)
        return False
    assert code == -signal.SIGKILL
    return True


async def the_only_run(stack: Stack) -> run_pb2.Run:
    """The one run there is, when it has ended."""
    async with scheduler_stubs(stack) as (_, runs):
        listed = await runs.ListRuns(run_pb2.ListRunsRequest(), **READY)
        while not listed.runs:
            listed = await runs.ListRuns(run_pb2.ListRunsRequest(), **READY)
        (run,) = listed.runs
        watching = runs.WatchRun(run_pb2.WatchRunRequest(name=run.name), timeout=PATIENCE_S)
        return [each async for each in watching][-1]


async def ends_told(stack: Stack, since: datetime) -> int:
    """How often the end of a run was told, by the time of the next thing that is told."""
    count = 0
    kinds = (*ENDS, events_pb2.TransferCancelRequested)
    await stack.mover.publish(events_pb2.TransferCancelRequested(transfer_id="marker"))
    async with aclosing(tail(stack.bus, kinds, since=since)) as stream:
        async for event, _ in stream:
            if isinstance(event, ENDS):
                count += 1
            elif event.transfer_id == "marker":
                break
    return count


async def check_one_good_night(stack: Stack, since: datetime) -> None:
    run = await the_only_run(stack)
    assert run.state == run_pb2.Run.STATE_SUCCEEDED
    assert [notice.code for notice in run.notices] == ["FIRED_LATE"]
    assert sorted(task.subject_display_name for task in run.tasks) == sorted(VMS)
    wanted = {(work.spec.backup.vm, work.transfer_id) for work in stack.mover.received}
    assert len(wanted) == len(VMS)
    assert {task.transfer for task in run.tasks} == {f"transfers/{each}" for _, each in wanted}
    assert {task.attempt for task in run.tasks} == {1}
    await stack.scheduler.end()
    assert await ends_told(stack, since) == 1


@pytest.mark.parametrize("die_at", [f"{when}:{n}" for n in (2, 3, 5, 8) for when in ("before", "after")])
async def test_killed_once_at_any_commit_the_run_still_ends_well(
    nats_server: NatsServer, tmp_path: Path, die_at: str
) -> None:
    since = datetime.now(UTC)
    async with scheduler_stack(nats_server, tmp_path, *VMS, start=False) as stack:
        await make_due_policy(stack)
        assert await live_and_die(stack, die_at)
        await stack.scheduler.start(MORTAL)
        await check_one_good_night(stack, since)


async def test_killed_again_and_again_the_run_still_ends_well(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    since = datetime.now(UTC)
    async with scheduler_stack(nats_server, tmp_path, *VMS, start=False) as stack:
        await make_due_policy(stack)
        for die_at in ("after:2", "before:2", "after:3", "before:4", "after:4", "before:5"):
            if not await live_and_die(stack, die_at):
                break
        await stack.scheduler.start(MORTAL)
        await check_one_good_night(stack, since)


async def test_killed_after_a_cancellation_the_request_still_reaches_the_mover(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    async with scheduler_stack(nats_server, tmp_path, "web", script=hang) as stack:
        async with scheduler_stubs(stack) as (_, runs):
            spec = run_pb2.RunSpec(backup=run_pb2.BackupRun(vms=["web"], repository="main"))
            created = await runs.CreateRun(run_pb2.CreateRunRequest(spec=spec), **READY)
            await asyncio.wait_for(stack.mover.has_received.wait(), PATIENCE_S)
            since = datetime.now(UTC)
            await runs.CancelRun(run_pb2.CancelRunRequest(name=created.name), timeout=PATIENCE_S)
            await stack.scheduler.end(signal.SIGKILL)
        await stack.scheduler.start(MORTAL)
        async with aclosing(tail(stack.bus, [events_pb2.TransferCancelRequested], since=since)) as stream:
            event, _ = await anext(stream)
        assert event.transfer_id == stack.mover.received[0].transfer_id
