"""The state machine of runs and tasks, under facts that come twice, late and in any order."""

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from services.chassis.errors import FailedPrecondition
from services.scheduler.domain import task as tasks
from services.scheduler.domain.facts import (
    RunEnded,
    RunStarted,
    TaskEnded,
    TransferUnwanted,
    TransferWanted,
    facts_of,
)
from services.scheduler.domain.notes import Failure
from services.scheduler.domain.policy import Method, RetryRule, Selector
from services.scheduler.domain.run import (
    BackupRun,
    BackupTerms,
    Run,
    RunState,
    begun,
    cancel,
    settled,
    with_task,
)
from services.scheduler.domain.task import Progress, Task, TaskState
from tests.unit.scheduler.fakes import START

FAILURE = Failure("Unavailable", "HOST_GONE", "The host is gone.")
RULE = RetryRule(retries=1, delay=timedelta(minutes=1))


def pending() -> Run:
    terms = BackupTerms(
        Selector(all=True), "repositories/r1", Method.NORMAL, False, retry=RULE, site="berlin"
    )
    return Run("run", BackupRun(("a", "b"), "main"), terms, START)


def task(number: int) -> Task:
    return Task("run", f"task-{number}", number, f"pools/p/vms/{number}", f"vm{number}", "p", "h")


def running(count: int = 2) -> Run:
    run = pending()
    return begun(run, run.terms, tuple(task(number) for number in range(count)), START)


STEPS = st.tuples(
    st.sampled_from(
        ["start", "taken_up", "progressed", "finished", "failed", "given_up", "cancelled", "stop"]
    ),
    st.integers(0, 1),
    st.integers(0, 3),
)


def step(run: Run, kind: str, which: int, transfer: int) -> Run:
    """One thing that can happen to a run: to its task ``which``, about transfer number ``transfer``."""
    now = START + timedelta(seconds=1)
    each = run.tasks[which]
    name = f"transfer-{which}-{transfer}"
    match kind:
        case "start":
            if each.state is not TaskState.QUEUED:
                return run
            return with_task(run, tasks.started(each, f"transfer-{which}-{each.attempt}", now), now)
        case "stop":
            try:
                return cancel(run, now)
            except FailedPrecondition:
                assert run.state.ended
                return run
        case "taken_up":
            moved = tasks.taken_up(each, name, now)
        case "progressed":
            moved = tasks.progressed(each, name, Progress(done_bytes=transfer), now)
        case "finished":
            moved = tasks.finished(each, name, b"result", now)
        case "cancelled":
            moved = tasks.cancelled(each, name, now)
        case _:
            retryable = kind == "failed"
            moved = tasks.failed(each, name, FAILURE, retryable=retryable, rule=RULE, now=now)
    return with_task(run, moved, now)


@given(st.lists(STEPS, max_size=60))
def test_whatever_happens_in_whatever_order_the_state_stays_legal(steps: list[tuple[str, int, int]]) -> None:
    run = running()
    facts = list(facts_of(pending(), run))
    for kind, which, transfer in steps:
        after = step(run, kind, which, transfer)
        facts += facts_of(run, after)
        for old, new in zip(run.tasks, after.tasks, strict=True):
            if old.state.ended:
                assert new == old
            if new.state.ended:
                assert new.end_time is not None
                assert new.activity == ""
            assert 1 <= new.attempt <= RULE.retries + 1
            assert (new.state is not TaskState.RUNNING) or new.transfer_id
        if run.state.ended:
            assert after == run
        assert after.state.ended == all(each.state.ended for each in after.tasks)
        run = after
    assert len([f for f in facts if isinstance(f, RunStarted)]) == 1
    assert len([f for f in facts if isinstance(f, RunEnded)]) == int(run.state.ended)
    ended = [f.task.task_id for f in facts if isinstance(f, TaskEnded)]
    assert sorted(ended) == sorted(each.task_id for each in run.tasks if each.state.ended)
    for kind_of_fact in (TransferWanted, TransferUnwanted):
        names = [
            f.task.transfer_id if isinstance(f, TransferWanted) else f.transfer_id
            for f in facts
            if isinstance(f, kind_of_fact) and isinstance(f, TransferWanted | TransferUnwanted)
        ]
        assert len(names) == len(set(names))


@given(st.lists(STEPS, max_size=30), STEPS)
def test_the_same_fact_twice_is_the_same_as_once(
    steps: list[tuple[str, int, int]], last: tuple[str, int, int]
) -> None:
    run = running()
    for each in steps:
        run = step(run, *each)
    once = step(run, *last)
    if last[0] not in ("start", "stop"):
        assert step(once, *last) == once


def test_a_run_has_failed_when_any_task_has_even_if_it_was_cancelled() -> None:
    states = (TaskState.SUCCEEDED, TaskState.CANCELLED, TaskState.FAILED)
    run = running(3)
    mixed = tuple(replace(each, state=state) for each, state in zip(run.tasks, states, strict=True))
    assert settled(replace(run, tasks=mixed), START).state is RunState.FAILED


def test_a_run_whose_every_task_was_skipped_has_failed() -> None:
    run = pending()
    gone = tasks.skipped(task(0), Failure("NotFound", "VM_NOT_FOUND", "gone"), START)
    ended = begun(run, run.terms, (gone,), START)
    assert (ended.state, ended.failure and ended.failure.reason) == (RunState.FAILED, "NOTHING_SELECTED")
    assert [type(f) for f in facts_of(run, ended)] == [RunStarted, TaskEnded, RunEnded]


def test_a_run_without_any_task_has_failed() -> None:
    run = pending()
    ended = begun(run, run.terms, (), START)
    assert (ended.state, ended.failure and ended.failure.reason) == (RunState.FAILED, "NOTHING_SELECTED")


def test_a_retry_keeps_the_reason_of_the_try_before() -> None:
    first = tasks.started(task(0), "t1", START)
    again = tasks.failed(first, "t1", FAILURE, retryable=True, rule=RULE, now=START)
    assert (again.state, again.attempt, again.transfer_id) == (TaskState.QUEUED, 2, "")
    assert again.not_before == START + RULE.delay
    assert [notice.code for notice in again.notices] == ["TRY_FAILED"]
    assert "HOST_GONE" in again.notices[0].message
    last = tasks.failed(
        tasks.started(again, "t2", START), "t2", FAILURE, retryable=True, rule=RULE, now=START
    )
    assert (last.state, last.failure) == (TaskState.FAILED, FAILURE)


def test_a_failure_that_will_not_pass_is_not_retried() -> None:
    first = tasks.started(task(0), "t1", START)
    assert tasks.failed(first, "t1", FAILURE, retryable=False, rule=RULE, now=START).state is TaskState.FAILED


def test_a_transfer_cancelled_behind_our_back_says_so() -> None:
    first = tasks.started(task(0), "t1", START)
    ended = tasks.cancelled(first, "t1", START)
    assert (ended.state, ended.failure and ended.failure.reason) == (
        TaskState.CANCELLED,
        "TRANSFER_CANCELLED",
    )


def test_a_task_that_fails_while_stopping_is_cancelled_and_keeps_why() -> None:
    stopping = tasks.cancel_asked(tasks.started(task(0), "t1", START), START)
    ended = tasks.failed(stopping, "t1", FAILURE, retryable=True, rule=RULE, now=START)
    assert (ended.state, ended.failure) == (TaskState.CANCELLED, FAILURE)


def test_what_succeeded_has_done_everything_though_the_last_words_were_older() -> None:
    run = step(running(), "start", 0, 1)
    heard = Progress(total_bytes=200, done_bytes=109, read_bytes=109)
    told = tasks.progressed(run.tasks[0], "transfer-0-1", heard, START)
    ended = tasks.finished(told, "transfer-0-1", b"result", START)
    assert Progress(total_bytes=200, done_bytes=200, read_bytes=109) == ended.progress
