"""How values look on the wire."""

from dataclasses import replace
from datetime import timedelta

import pytest
from xenkeep.mover.v1 import transfer_pb2
from xenkeep.scheduler.v1 import events_pb2, policy_pb2, run_pb2

from services.chassis.bus import cloudevents
from services.chassis.errors import InvalidInput
from services.chassis.paging import page_size, parts_of, token_of
from services.scheduler.domain.capture import Capture
from services.scheduler.domain.care import Care, Migration
from services.scheduler.domain.facts import RunEnded, RunStarted
from services.scheduler.domain.notes import Failure, Notice
from services.scheduler.domain.policy import Limits, Method, Policy, RetryRule, Selector
from services.scheduler.domain.run import (
    BackupRun,
    BackupTerms,
    Placement,
    PlacementMode,
    PolicyRun,
    RestoreRun,
    Run,
    RunSpec,
    RunState,
)
from services.scheduler.domain.task import Task, TaskState
from services.scheduler.wire.facts import fact_to_event
from services.scheduler.wire.policy import policy_from_proto, policy_to_proto
from services.scheduler.wire.run import spec_from_proto, spec_to_proto
from tests.unit.scheduler.fakes import START

POLICY = Policy(
    "nightly",
    Selector("lab", ("a",), ("t",), True, ("b",)),
    "main",
    Method.QUIESCED,
    "0 22 * * *",
    "Europe/Berlin",
    RetryRule(3, timedelta(seconds=90)),
    Limits(1, 2, 3, 4),
    paused=True,
    etag="e",
    capture=Capture(care=Care(timedelta(minutes=7), Migration.BLOCK)),
)


@pytest.mark.parametrize(
    "spec",
    [
        PolicyRun("nightly", True),
        BackupRun(("a", "b"), "main", Method.MEMORY, True),
        RestoreRun("p", Placement("lab", "sr", PlacementMode.ORIGINAL, "copy", True, True)),
        RestoreRun("p", Placement("lab", vm_snapshot="a UUID")),
    ],
)
def test_a_spec_comes_back_as_it_went(spec: RunSpec) -> None:
    assert spec_from_proto(spec_to_proto(spec)) == spec


def test_a_policy_comes_back_as_it_went() -> None:
    assert policy_from_proto(policy_to_proto(POLICY)) == POLICY


def test_a_method_or_a_placement_of_a_newer_release_is_refused() -> None:
    policy = policy_to_proto(POLICY)
    policy.ParseFromString(policy.SerializeToString() + b"\x20\x63")  # field 4 (method) = 99
    with pytest.raises(InvalidInput) as refused:
        policy_from_proto(policy)
    assert refused.value.reason == "METHOD_UNKNOWN"
    spec = spec_to_proto(RestoreRun("p"))
    spec.restore.placement.ParseFromString(b"\x18\x63")  # field 3 (mode) = 99
    with pytest.raises(InvalidInput) as refused:
        spec_from_proto(spec)
    assert refused.value.reason == "PLACEMENT_MODE_UNKNOWN"


def test_a_delay_no_clock_can_show_is_refused() -> None:
    policy = policy_pb2.Policy(name="n")
    policy.retry.delay_duration.seconds = 2**62
    with pytest.raises(InvalidInput):
        policy_from_proto(policy)


def test_an_empty_spec_is_refused() -> None:
    with pytest.raises(InvalidInput):
        spec_from_proto(run_pb2.RunSpec())


@pytest.mark.parametrize("token", ["", "!", "e30=", "WyJhIl0", token_of("a"), token_of("a", "b", "c"), "é"])
def test_a_page_token_that_is_not_ours_is_refused(token: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parts_of(token, 2)
    assert refused.value.reason == "PAGE_TOKEN_INVALID"


def test_a_page_is_never_larger_than_the_largest() -> None:
    assert [page_size(asked, 100) for asked in (0, 5, 10**9)] == [100, 5, 1000]


def big_run(task_count: int) -> Run:
    result = transfer_pb2.TransferResult()
    for number in range(20):
        result.point.disks.add(disk_id=f"{number:036}", display_name="disk" * 10, content_root="0" * 64)
    failure = Failure("Unavailable", "HOST_GONE", "The host is gone. " * 10)
    tasks = tuple(
        Task("run", f"{n:036}", n, f"pools/p/vms/{n:036}", f"vm {n}", "p")
        if n % 100
        else Task("run", f"{n:036}", n, f"pools/p/vms/{n:036}", f"failed {n}", "p", failure=failure)
        for n in range(task_count)
    )
    ended = tuple(
        replace(
            task,
            state=TaskState.FAILED if task.failure else TaskState.SUCCEEDED,
            result=b"" if task.failure else result.SerializeToString(),
            notices=(Notice("TRY_FAILED", "x" * 50),),
            start_time=START,
            end_time=START,
        )
        for task in tasks
    )
    terms = BackupTerms(Selector(all=True), "r", Method.NORMAL, False)
    return Run("run", BackupRun(("a",) * 10, "r"), terms, START, state=RunState.FAILED, tasks=ended)


@pytest.mark.parametrize("task_count", [10, 500, 5000])
def test_the_end_of_a_run_of_any_size_fits_into_one_message(task_count: int) -> None:
    addressed = fact_to_event(RunEnded(big_run(task_count)))
    assert addressed is not None
    event, about = addressed
    assert about == "runs/run"
    assert isinstance(event, events_pb2.RunFailed)
    cloudevents.wrap(event, id="i", source="s", subject_id=about, time=START)
    shortened = [notice.message for notice in event.run.notices if notice.code == "EVENT_SHORTENED"]
    assert len(shortened) == int(task_count > 10)
    failed = [task for task in event.run.tasks if task.state == run_pb2.Task.STATE_FAILED]
    assert len(failed) == -(-task_count // 100)


def test_the_start_of_a_run_says_how_many_tasks_it_has_and_leaves_them_out() -> None:
    addressed = fact_to_event(RunStarted(big_run(500)))
    assert addressed is not None
    event, _ = addressed
    assert isinstance(event, events_pb2.RunStarted)
    assert (event.task_count, len(event.run.tasks)) == (500, 0)
