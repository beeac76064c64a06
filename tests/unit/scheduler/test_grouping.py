"""VMs of a run that are captured at one moment: selected, started, failed and tried again together."""

from datetime import timedelta

import pytest

from services.chassis.errors import InvalidInput
from services.scheduler.domain.admission import Defaults
from services.scheduler.domain.facts import TransferWanted
from services.scheduler.domain.groups import Grouping, VmGroup
from services.scheduler.domain.notes import Failure
from services.scheduler.domain.policy import Limits, Policy, RetryRule, Selector
from services.scheduler.domain.run import BackupRun, PolicyRun, Run, RunState
from services.scheduler.domain.task import Task, TaskState
from services.scheduler.wire.policy import policy_from_proto, policy_to_proto
from services.scheduler.wire.run import spec_from_proto, spec_to_proto, task_to_proto
from services.scheduler.wire.transfer import transfer_to_proto
from tests.unit.scheduler.fakes import World, vm

SHOP = VmGroup("shop", ("web", "app"), ("shop",))
BUSY = Failure("Aborted", "POOL_BUSY", "The pool is busy.")


async def _started(world: World, **policy: object) -> Run:
    await world.policy("nightly", **policy)
    run = await world.starting.create(PolicyRun("nightly"), "")
    await world.settle()
    return world.run(run.run_id)


def _by_name(run: Run) -> dict[str, Task]:
    return {task.display_name: task for task in run.tasks}


def _together(run: Run) -> list[set[str]]:
    """The VMs of each moment."""
    moments = {task.moment.group_id for task in run.tasks if task.moment}
    return [
        {task.display_name for task in run.tasks if task.moment and task.moment.group_id == id}
        for id in sorted(moments)
    ]


async def test_all_vms_of_a_run_share_a_moment_if_the_policy_says_so() -> None:
    world = World(vm("a"), vm("b"), vm("c"))
    run = await _started(world, grouping=Grouping(everything=True))
    assert [{"a", "b", "c"}] == _together(run)
    members = {(task.subject, task.transfer_id) for task in run.tasks}
    for task in run.tasks:
        group = transfer_to_proto(run, task).spec.backup.group
        assert members == {(member.vm, member.backup_source_id) for member in group.members}
    assert 3 == len(world.told(TransferWanted))


async def test_a_group_starts_as_a_whole_beyond_the_limits_by_its_own_size() -> None:
    world = World(vm("a"), vm("app"), vm("web"), vm("z"), defaults=Defaults(tasks_per_run=2))
    run = await _started(world, grouping=Grouping(groups=(SHOP,)))
    states = {name: task.state for name, task in _by_name(run).items()}
    assert [{"app", "web"}] == _together(run)
    running = {name for name, state in states.items() if state is TaskState.RUNNING}
    assert {"a", "app", "web"} == running
    assert _by_name(run)["a"].moment is None
    assert "2 tasks of this run" in _by_name(run)["z"].activity


async def test_a_group_waits_as_a_whole_while_there_is_no_room() -> None:
    world = World(vm("a"), vm("app"), vm("web"), defaults=Defaults(tasks_per_run=1))
    run = await _started(world, grouping=Grouping(groups=(SHOP,)), limits=Limits(tasks_per_run=1))
    assert [] == _together(run)
    waiting = [task.activity for name, task in _by_name(run).items() if name != "a"]
    assert ["Waits for app: Waits: 1 tasks of this run are under way"] * 2 == waiting
    await world.finish(_by_name(run)["a"].transfer_id)
    await world.dispatching.round()
    assert [{"app", "web"}] == _together(world.run(run.run_id))


async def test_a_group_is_tried_again_together_when_all_of_it_has_failed() -> None:
    world = World(vm("app"), vm("web"))
    retry = RetryRule(1, timedelta(minutes=5))
    run = await _started(world, grouping=Grouping(groups=(SHOP,)), retry=retry)
    first = _by_name(run)
    await world.fail(first["app"].transfer_id, BUSY)
    await world.clock.advance(300)
    await world.dispatching.round()
    assert "other VMs of its group 'shop'" in _by_name(world.run(run.run_id))["app"].activity
    await world.fail(first["web"].transfer_id, BUSY)
    await world.clock.advance(300)
    await world.dispatching.round()
    again = world.run(run.run_id)
    assert [{"app", "web"}] == _together(again)
    moments = {task.moment.group_id for task in (*run.tasks, *again.tasks) if task.moment}
    assert 2 == len(moments)
    assert {"TRY_FAILED"} == {notice.code for task in again.tasks for notice in task.notices}


async def test_one_that_is_tried_again_alone_says_so() -> None:
    world = World(vm("app"), vm("web"))
    run = await _started(world, grouping=Grouping(groups=(SHOP,)), retry=RetryRule(1))
    first = _by_name(run)
    await world.fail(first["app"].transfer_id, BUSY)
    await world.finish(first["web"].transfer_id)
    await world.dispatching.round()
    app = _by_name(world.run(run.run_id))["app"]
    assert (TaskState.RUNNING, None) == (app.state, app.moment)
    assert ["TRY_FAILED", "GROUP_LEFT"] == [notice.code for notice in app.notices]
    assert "web" in app.notices[-1].message


async def test_what_is_in_two_groups_fails_the_run() -> None:
    other = VmGroup("other", tags=("shop",))
    world = World(vm("app", tags=["shop"]), vm("web"))
    run = await _started(world, grouping=Grouping(groups=(SHOP, other)))
    assert run.state is RunState.FAILED
    assert run.failure is not None and "GROUP_AMBIGUOUS" == run.failure.reason


async def test_a_group_that_is_not_whole_is_told_of() -> None:
    world = World(vm("app"), vm("other"))
    run = await _started(world, grouping=Grouping(groups=(SHOP,)))
    assert ["GROUP_MEMBER_MISSING", "GROUP_OF_ONE"] == [notice.code for notice in run.notices]
    assert [] == _together(run)


async def test_too_many_vms_for_one_moment_fail_the_run() -> None:
    world = World(*(vm(f"vm{number}") for number in range(65)))
    run = await _started(world, grouping=Grouping(everything=True))
    assert run.failure is not None and "GROUP_TOO_LARGE" == run.failure.reason


async def test_vms_are_backed_up_together_by_hand() -> None:
    world = World(vm("app"), vm("web"))
    run = await world.starting.create(BackupRun(("app", "web"), "main", group=True), "")
    await world.settle()
    assert [{"app", "web"}] == _together(world.run(run.run_id))
    assert "all" == task_to_proto(world.run(run.run_id).tasks[0]).group


@pytest.mark.parametrize(
    "grouping",
    [
        Grouping(everything=True, groups=(SHOP,)),
        Grouping(groups=(SHOP, SHOP)),
        Grouping(groups=(VmGroup(""),)),
        Grouping(groups=(VmGroup("empty"),)),
    ],
)
async def test_groups_that_make_no_sense_are_refused(grouping: Grouping) -> None:
    with pytest.raises(InvalidInput, match="groups"):
        await World(vm("a")).policy(grouping=grouping)


@pytest.mark.parametrize("grouping", [Grouping(everything=True), Grouping(groups=(SHOP,))])
def test_groups_are_the_same_on_the_wire(grouping: Grouping) -> None:
    policy = Policy("nightly", Selector(all=True), "main", grouping=grouping)
    assert grouping == policy_from_proto(policy_to_proto(policy)).grouping


def test_a_group_by_hand_is_the_same_on_the_wire() -> None:
    spec = BackupRun(("a", "b"), "main", group=True)
    assert spec == spec_from_proto(spec_to_proto(spec))
    assert spec_to_proto(spec).backup.group
