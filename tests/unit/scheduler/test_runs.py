"""Runs from their creation to their end, on fakes."""

import asyncio
from datetime import timedelta

import pytest

from services.chassis.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidInput,
    NotFound,
    Unavailable,
)
from services.scheduler.app.moves import Moves
from services.scheduler.domain.facts import RunEnded, RunStarted, TaskEnded, TransferUnwanted
from services.scheduler.domain.notes import Failure, Notice
from services.scheduler.domain.policy import RetryRule, Selector
from services.scheduler.domain.run import (
    BackupRun,
    Placement,
    PolicyRun,
    RestoreRun,
    RestoreTerms,
    RunState,
)
from services.scheduler.domain.task import Progress, TaskState
from services.scheduler.ports import RestorePoint
from tests.unit.scheduler.fakes import START, World, down, vm

BY_HAND = BackupRun(("a",), "main")


async def test_a_policy_run_backs_up_what_the_policy_selects() -> None:
    world = World(vm("a"), vm("b"))
    await world.policy()
    run = await world.starting.create(PolicyRun("nightly"), "")
    assert run.state is RunState.PENDING
    await world.settle()
    assert [task.state for task in world.run(run.run_id).tasks] == [TaskState.RUNNING, TaskState.RUNNING]
    for transfer_id in world.wanted():
        await world.finish(transfer_id, b"r")
    ended = world.run(run.run_id)
    assert (ended.state, ended.end_time) == (RunState.SUCCEEDED, START)
    assert [task.result for task in ended.tasks] == [b"r", b"r"]
    assert [len(world.told(kind)) for kind in (RunStarted, TaskEnded, RunEnded)] == [1, 2, 1]


async def test_a_run_of_an_unknown_policy_is_refused() -> None:
    with pytest.raises(NotFound):
        await World().starting.create(PolicyRun("nightly"), "")


async def test_a_second_run_of_an_active_policy_by_hand_is_refused() -> None:
    world = World(vm("a"))
    await world.policy()
    await world.starting.create(PolicyRun("nightly"), "")
    with pytest.raises(FailedPrecondition) as refused:
        await world.starting.create(PolicyRun("nightly"), "")
    assert refused.value.reason == "RUN_ALREADY_ACTIVE"


async def test_the_same_request_id_gives_the_same_run_and_another_spec_is_refused() -> None:
    world = World(vm("a"), vm("b"))
    first = await world.starting.create(BY_HAND, "request")
    await world.settle()
    again = await world.starting.create(BY_HAND, "request")
    assert again.run_id == first.run_id
    with pytest.raises(AlreadyExists):
        await world.starting.create(BackupRun(("b",), "main"), "request")


@pytest.mark.parametrize("vms", [(), ("",)])
async def test_a_backup_of_nothing_is_refused(vms: tuple[str, ...]) -> None:
    with pytest.raises(InvalidInput):
        await World().starting.create(BackupRun(vms, "main"), "")


@pytest.mark.parametrize("spec", [BackupRun(("gone",), "main"), BackupRun(("a",), "elsewhere")])
async def test_a_backup_by_hand_of_something_unknown_is_refused_at_once(spec: BackupRun) -> None:
    world = World(vm("a"))
    with pytest.raises(NotFound):
        await world.starting.create(spec, "")
    assert world.ledger.runs.kept == {}


async def test_a_backup_by_hand_of_an_ambiguous_name_is_refused() -> None:
    world = World(vm("a"), vm("a", pool="p2"))
    with pytest.raises(FailedPrecondition) as refused:
        await world.starting.create(BY_HAND, "")
    assert refused.value.reason == "VM_NAME_AMBIGUOUS"


async def test_a_policy_that_selects_nothing_fails_for_that_reason() -> None:
    world = World(vm("a"))
    await world.policy(selector=Selector(tags=("no-such-tag",)))
    run = await world.starting.create(PolicyRun("nightly"), "")
    await world.settle()
    failure = world.run(run.run_id).failure
    assert failure is not None
    assert failure.reason == "NOTHING_SELECTED"
    assert len(world.told(RunEnded)) == 1


async def test_a_vm_that_a_policy_names_and_that_is_gone_is_skipped() -> None:
    world = World(vm("a"))
    await world.policy(selector=Selector(vms=("a", "gone")))
    run = await world.starting.create(PolicyRun("nightly"), "")
    await world.settle()
    await world.finish(world.wanted()[0])
    ended = world.run(run.run_id)
    assert ended.state is RunState.SUCCEEDED
    assert [(t.display_name, t.state, t.failure and t.failure.reason) for t in ended.tasks] == [
        ("a", TaskState.SUCCEEDED, None),
        ("gone", TaskState.SKIPPED, "VM_NOT_FOUND"),
    ]


async def test_a_run_waits_for_a_neighbour_and_says_so() -> None:
    world = World(vm("a"))
    world.vms.trouble = down()
    run = await world.starting.create(BY_HAND, "")
    await world.settle()
    waiting = world.run(run.run_id)
    assert waiting.state is RunState.PENDING
    assert waiting.activity == "Waits for a neighbour: The hypervisor service cannot be reached."
    assert await world.selecting.round() == waiting.try_time
    world.vms.trouble = None
    await world.clock.advance(2)
    await world.settle()
    assert world.run(run.run_id).state is RunState.RUNNING
    assert world.run(run.run_id).activity == ""


async def test_a_neighbour_that_never_answers_fails_the_run_after_the_patience() -> None:
    world = World(vm("a"))
    await world.policy()
    world.vms.trouble = down()
    run = await world.starting.create(PolicyRun("nightly"), "")
    while not world.run(run.run_id).state.ended:
        again = await world.selecting.round()
        if again is not None and again > world.clock.now():
            await world.clock.advance((again - world.clock.now()).total_seconds())
    failure = world.run(run.run_id).failure
    assert failure is not None
    assert failure.reason == "GRPC_UNAVAILABLE"
    assert timedelta(minutes=30) <= world.clock.now() - START <= timedelta(minutes=32)
    assert 30 <= world.run(run.run_id).tries <= 40


async def test_a_defect_while_selecting_fails_that_run_only() -> None:
    world = World(vm("a"))
    world.vms.trouble = ZeroDivisionError("boom")
    await world.policy(selector=Selector(tags=("x",), all=True), repository="main")
    run = await world.starting.create(PolicyRun("nightly"), "")
    await world.settle()
    failure = world.run(run.run_id).failure
    assert failure is not None
    assert failure.reason == "SELECTION_BROKE"
    assert "boom" not in failure.message


async def test_a_retryable_failure_is_tried_again_after_the_delay_with_a_new_transfer() -> None:
    world = World(vm("a"))
    await world.policy(retry=RetryRule(1, timedelta(minutes=5)))
    run = await world.starting.create(PolicyRun("nightly"), "")
    await world.settle()
    async with world.ledger.writing() as work:
        failure = Failure("Unavailable", "HOST_GONE", "The host is gone.")
        await world.transfers.failed(work, world.wanted()[0], failure, retryable=True)
    assert await world.dispatching.round() == START + timedelta(minutes=5)
    assert "The host is gone." in world.run(run.run_id).tasks[0].activity
    await world.clock.advance(300)
    await world.dispatching.round()
    first, second = world.wanted()
    assert first != second
    await world.finish(first)
    assert world.run(run.run_id).state is RunState.RUNNING
    await world.finish(second)
    assert world.run(run.run_id).state is RunState.SUCCEEDED
    assert [notice.code for notice in world.run(run.run_id).tasks[0].notices] == ["TRY_FAILED"]


async def test_what_a_mover_noticed_before_it_failed_is_on_the_task_each_once() -> None:
    world = World(vm("a"))
    await world.policy(retry=RetryRule(1, timedelta(minutes=5)))
    run = await world.starting.create(PolicyRun("nightly"), "")
    await world.settle()
    lost = Notice("NBD_CONNECTION_LOST", "host-1 hung up.")
    failure = Failure("Unavailable", "HOST_GONE", "The host is gone.")
    async with world.ledger.writing() as work:
        await world.transfers.failed(work, world.wanted()[0], failure, retryable=True, notices=(lost,))
    await world.clock.advance(300)
    await world.dispatching.round()
    async with world.ledger.writing() as work:
        await world.transfers.failed(work, world.wanted()[1], failure, retryable=True, notices=(lost,))
    task = world.run(run.run_id).tasks[0]
    assert task.state is TaskState.FAILED
    assert [notice.code for notice in task.notices] == ["NBD_CONNECTION_LOST", "TRY_FAILED"]


async def test_cancelling_ends_queued_tasks_at_once_and_running_ones_when_the_mover_has_stopped() -> None:
    world = World(*(vm(f"vm{n}", host=f"h{n}") for n in range(5)))
    await world.policy()
    run = await world.starting.create(PolicyRun("nightly"), "")
    await world.settle()
    cancelled = await world.runs.cancel(run.run_id)
    assert cancelled.state is RunState.RUNNING
    assert [task.state for task in cancelled.tasks] == [TaskState.RUNNING] * 4 + [TaskState.CANCELLED]
    assert [fact.transfer_id for fact in world.told(TransferUnwanted)] == world.wanted()  # type: ignore[union-attr]
    await world.runs.cancel(run.run_id)
    assert len(world.told(TransferUnwanted)) == 4
    async with world.ledger.writing() as work:
        for transfer_id in world.wanted():
            await world.transfers.cancelled(work, transfer_id)
    assert world.run(run.run_id).state is RunState.CANCELLED
    with pytest.raises(FailedPrecondition):
        await world.runs.cancel(run.run_id)


async def test_a_pending_run_is_cancelled_at_once_and_is_not_selected_afterwards() -> None:
    world = World(vm("a"))
    run = await world.starting.create(BY_HAND, "")
    assert (await world.runs.cancel(run.run_id)).state is RunState.CANCELLED
    await world.settle()
    assert world.wanted() == []


async def test_a_restore_of_a_damaged_point_is_refused_with_the_damage() -> None:
    world = World(vm("a"))
    world.points.known["p1"] = RestorePoint("p1", "a", "repositories/r1", "p1", "pack 3f is torn")
    with pytest.raises(FailedPrecondition, match="pack 3f is torn"):
        await world.starting.create(RestoreRun("p1"), "")


async def test_a_restore_goes_to_the_pool_of_origin_when_none_is_named() -> None:
    world = World(vm("a"))
    world.points.known["abcdefgh"] = RestorePoint("full-id", "a", "repositories/r1", "p1")
    run = await world.starting.create(RestoreRun("abcdefgh", Placement(start=True)), "")
    await world.settle()
    started = world.run(run.run_id)
    assert isinstance(started.terms, RestoreTerms)
    assert (started.terms.placement.pool, started.terms.site) == ("pools/p1", "berlin")
    assert [task.subject for task in started.tasks] == ["restorePoints/full-id"]
    assert started.spec == RestoreRun("abcdefgh", Placement(start=True))


async def test_a_run_is_found_by_the_beginning_of_its_id() -> None:
    world = World(vm("a"))
    world.ids._prefix = "abcdef-12345678"
    run = await world.starting.create(BY_HAND, "")
    assert (await world.runs.get(run.run_id[:8])).run_id == run.run_id
    for unknown in (run.run_id[:7], "zzzzzzzzz"):
        with pytest.raises(NotFound):
            await world.runs.get(unknown)
    await world.starting.create(BY_HAND, "")
    with pytest.raises(FailedPrecondition):
        await world.runs.get("abcdef-1")


async def test_facts_about_transfers_nobody_knows_change_nothing() -> None:
    world = World(vm("a"))
    await world.starting.create(BY_HAND, "")
    await world.settle()
    before = dict(world.ledger.runs.kept)
    async with world.ledger.writing() as work:
        await world.transfers.started(work, "unknown")
        await world.transfers.progressed(work, "unknown", Progress())
        await world.transfers.failed(work, "unknown", Failure("Internal", "X", "x"), retryable=True)
        await world.transfers.cancelled(work, "unknown")
        await world.transfers.finished(work, "unknown", b"")
    assert world.ledger.runs.kept == before


async def test_progress_is_kept_at_most_once_a_second() -> None:
    world = World(vm("a"))
    run = await world.starting.create(BY_HAND, "")
    await world.settle()
    for done, pause in ((1, 0.4), (2, 0.4), (3, 0.4), (4, 0.0)):
        async with world.ledger.writing() as work:
            await world.transfers.progressed(work, world.wanted()[0], Progress(done_bytes=done))
        await world.clock.advance(pause)
    progress = world.run(run.run_id).tasks[0].progress
    assert progress is not None
    assert progress.done_bytes == 4


async def test_a_watcher_sees_every_state_to_the_end() -> None:
    world = World(vm("a"))
    run = await world.starting.create(BY_HAND, "")
    seen: asyncio.Queue[RunState] = asyncio.Queue()

    async def watch() -> None:
        async for each in world.runs.watch(run.run_id):
            seen.put_nowait(each.state)

    watching = asyncio.create_task(watch())
    assert await seen.get() is RunState.PENDING
    await world.settle()
    world.bell.ring()
    assert await seen.get() is RunState.RUNNING
    await world.finish(world.wanted()[0])
    await world.clock.until_sleeping()
    await world.clock.advance(10)
    assert await seen.get() is RunState.SUCCEEDED
    await watching


async def test_a_watcher_of_nothing_is_refused() -> None:
    with pytest.raises(NotFound):
        await anext(World().runs.watch("nothing"))


async def test_a_restore_asks_for_a_catalog_that_answers() -> None:
    world = World(vm("a"))

    async def silent(reference: str) -> RestorePoint:
        raise Unavailable("The catalog cannot be reached.", reason="GRPC_UNAVAILABLE")

    world.points.find = silent  # type: ignore[method-assign]
    with pytest.raises(Unavailable):
        await world.starting.create(RestoreRun("p1"), "")


async def test_a_waiting_task_counts_for_the_host_its_vm_has_moved_to() -> None:
    world = World(*(vm(name, host="h1") for name in "abc"))
    run = await world.starting.create(BackupRun(("a", "b", "c"), "main"), "")
    await world.settle()
    waiting = world.run(run.run_id).tasks[2]
    assert waiting.activity == "Waits: 2 tasks on VMs of its host are under way"
    async with world.ledger.writing() as work:
        await Moves(world.clock).moved(work, waiting.subject, "h2")
        await Moves(world.clock).moved(work, world.run(run.run_id).tasks[0].subject, "h2")
    await world.dispatching.round()
    assert [task.host_id for task in world.run(run.run_id).tasks] == ["h1", "h1", "h2"]
    assert world.run(run.run_id).tasks[2].state is TaskState.RUNNING
