"""Tasks that movers say nothing about."""

import pytest

from services.scheduler.domain.notes import Failure
from services.scheduler.domain.run import BackupRun, Run, RunState
from services.scheduler.domain.task import Task, TaskState
from services.scheduler.ports import Outcome, Report
from tests.unit.scheduler.fakes import World, down, vm

SILENCE_S = 15 * 60


async def running() -> tuple[World, str, str]:
    """A world with one task given to the movers: its run and its transfer."""
    world = World(vm("a"))
    run = await world.starting.create(BackupRun(("a",), "main"), "")
    await world.settle()
    return world, run.run_id, world.wanted()[0]


def task_of(run: Run) -> Task:
    return run.tasks[0]


async def test_a_task_no_mover_takes_up_says_so_and_stops_saying_it_when_one_does() -> None:
    world, run_id, transfer_id = await running()
    await world.watchdog.round()
    assert task_of(world.run(run_id)).activity == "Waits for a mover"
    await world.clock.advance(SILENCE_S)
    await world.watchdog.round()
    said, _, way_out = task_of(world.run(run_id)).activity.partition(": see")
    assert said == "No mover of site berlin has taken it up since 2026-01-01 00:00 UTC"
    assert way_out == " that one runs and reaches NATS"
    async with world.ledger.writing() as work:
        await world.transfers.started(work, transfer_id)
    await world.clock.advance(120)
    await world.watchdog.round()
    assert task_of(world.run(run_id)).activity == "A mover has taken it up"


async def test_a_mover_that_cannot_be_asked_either_is_told() -> None:
    world, run_id, _ = await running()
    world.reports.trouble = down("The mover service")
    await world.clock.advance(SILENCE_S)
    await world.watchdog.round()
    assert task_of(world.run(run_id)).activity.endswith(
        "asking for it failed: The mover service cannot be reached."
    )


@pytest.mark.parametrize(
    ("report", "state"),
    [
        (Report(Outcome.SUCCEEDED, b"r"), TaskState.SUCCEEDED),
        (Report(Outcome.FAILED, failure=Failure("Internal", "X", "x")), TaskState.FAILED),
        (Report(Outcome.FAILED), TaskState.FAILED),
        (Report(Outcome.CANCELLED), TaskState.CANCELLED),
    ],
)
async def test_an_end_no_event_told_is_learned_by_asking(report: Report, state: TaskState) -> None:
    world, run_id, transfer_id = await running()
    world.reports.known[transfer_id] = report
    await world.clock.advance(SILENCE_S)
    await world.watchdog.round()
    task = task_of(world.run(run_id))
    assert (task.state, [notice.code for notice in task.notices]) == (state, ["OUTCOME_ASKED_FOR"])
    assert world.run(run_id).state.ended


async def test_a_transfer_that_is_under_way_is_left_alone() -> None:
    world, run_id, transfer_id = await running()
    world.reports.known[transfer_id] = Report(Outcome.UNDER_WAY)
    await world.clock.advance(SILENCE_S)
    await world.watchdog.round()
    assert task_of(world.run(run_id)).state is TaskState.RUNNING


async def test_a_stopped_transfer_that_no_mover_knows_is_cancelled() -> None:
    world, run_id, _ = await running()
    await world.runs.cancel(run_id)
    await world.clock.advance(SILENCE_S)
    await world.watchdog.round()
    assert world.run(run_id).state is RunState.CANCELLED
