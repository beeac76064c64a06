"""A pool that cannot bear a snapshot: the task waits with a reason, goes on when told, is skipped at last."""

from datetime import timedelta

import pytest

from services.scheduler.app.hindrances import Hindrances
from services.scheduler.domain.capture import Capture
from services.scheduler.domain.care import PATIENCE, Care
from services.scheduler.domain.facts import TaskEnded
from services.scheduler.domain.hindrance import HINDRANCES, LOOK_AGAIN
from services.scheduler.domain.notes import Failure
from services.scheduler.domain.run import BackupRun, Run, RunState
from services.scheduler.domain.task import Task, TaskState
from tests.unit.scheduler.fakes import World, vm

COALESCING = Failure("ResourceExhausted", "SR_COALESCING", "Storage has to coalesce first.", "Wait.")
BY_HAND = BackupRun(("a",), "main")


async def _refused(world: World, spec: BackupRun = BY_HAND) -> Run:
    """A run whose only backup the pool has just refused."""
    run = await world.starting.create(spec, "")
    await world.settle()
    await world.fail(world.wanted()[-1], COALESCING)
    await world.settle()
    return world.run(run.run_id)


def _task(world: World, run: Run) -> Task:
    return world.run(run.run_id).tasks[0]


@pytest.mark.parametrize("reason", sorted(HINDRANCES))
async def test_a_task_the_pool_cannot_bear_waits_says_why_and_has_lost_no_try(reason: str) -> None:
    world = World(vm("a"))
    run = await world.starting.create(BY_HAND, "")
    await world.settle()
    await world.fail(world.wanted()[0], Failure("ResourceExhausted", reason, "Too much.", ""))
    await world.settle()
    task = _task(world, run)
    assert (task.state, task.attempt, task.transfer_id) == (TaskState.QUEUED, 1, "")
    assert task.activity.endswith("Too much.")
    assert [notice.code for notice in task.notices] == ["SNAPSHOT_DELAYED"]


async def test_it_goes_on_as_soon_as_the_pool_says_so() -> None:
    world = World(vm("a"))
    run = await _refused(world)
    async with world.ledger.writing() as work:
        await Hindrances(world.clock).over(work, run.tasks[0].subject)
    await world.settle()
    assert _task(world, run).state is TaskState.RUNNING
    await world.finish(world.wanted()[-1])
    assert world.run(run.run_id).state is RunState.SUCCEEDED


async def test_it_is_tried_again_when_the_word_got_lost() -> None:
    world = World(vm("a"))
    run = await _refused(world)
    await world.clock.advance(LOOK_AGAIN.total_seconds())
    await world.settle()
    assert _task(world, run).state is TaskState.RUNNING


async def test_at_the_end_of_its_patience_it_is_tried_once_more_and_then_skipped_with_the_reason() -> None:
    world = World(vm("a"))
    run = await _refused(world)
    await world.clock.advance(PATIENCE.total_seconds())
    await world.settle()
    assert _task(world, run).state is TaskState.RUNNING
    await world.fail(world.wanted()[-1], COALESCING)
    ended = world.run(run.run_id)
    assert (ended.tasks[0].state, ended.tasks[0].failure) == (TaskState.SKIPPED, COALESCING)
    assert (ended.state, ended.failure and ended.failure.reason) == (RunState.FAILED, "ALL_SKIPPED")
    assert len(world.told(TaskEnded)) == 1


async def test_the_policy_says_how_long_it_waits() -> None:
    world = World(vm("a"))
    hasty = Capture(care=Care(patience=timedelta(seconds=30)))
    run = await _refused(world, BackupRun(("a",), "main", capture=hasty))
    await world.clock.advance(30)
    await world.settle()
    await world.fail(world.wanted()[-1], COALESCING)
    assert _task(world, run).state is TaskState.SKIPPED


async def test_word_of_a_vm_that_does_not_wait_changes_nothing() -> None:
    world = World(vm("a"))
    run = await world.starting.create(BY_HAND, "")
    await world.settle()
    before = world.run(run.run_id)
    async with world.ledger.writing() as work:
        await Hindrances(world.clock).over(work, before.tasks[0].subject)
    assert world.run(run.run_id) == before


async def test_the_vms_of_its_group_go_on_with_it() -> None:
    world = World(vm("a"), vm("b"))
    run = await world.starting.create(BackupRun(("a", "b"), "main", group=True), "")
    await world.settle()
    for transfer_id in world.wanted():
        await world.fail(transfer_id, COALESCING)
    await world.settle()
    assert {TaskState.QUEUED} == {task.state for task in world.run(run.run_id).tasks}
    async with world.ledger.writing() as work:
        await Hindrances(world.clock).over(work, world.run(run.run_id).tasks[0].subject)
    await world.settle()
    assert {TaskState.RUNNING} == {task.state for task in world.run(run.run_id).tasks}
