"""Facts as events."""

from dataclasses import replace

from google.protobuf.message import Message
from xenkeep.scheduler.v1 import events_pb2, run_pb2

from services.scheduler.domain.facts import Fact, RunEnded, RunStarted, TaskEnded, TransferUnwanted
from services.scheduler.domain.run import RunState
from services.scheduler.domain.task import TaskState
from services.scheduler.wire.names import policy_name, run_name
from services.scheduler.wire.run import run_to_proto, task_to_proto

MOST_RUN_BYTES = 200_000
"""A larger run is shortened in an event: its JSON, a few times as long, must fit into one message."""

Addressed = tuple[Message, str]
"""An event and the name of what it is about."""


def fact_to_event(fact: Fact) -> Addressed | None:
    """None for facts nobody is told of by an event: a cancelled task is told by its run's end."""
    match fact:
        case RunStarted(run):
            message = _shortened(run_to_proto(replace(run, tasks=())))
            return events_pb2.RunStarted(run=message, task_count=len(run.tasks)), run_name(run.run_id)
        case RunEnded():
            return _run_ended(fact), run_name(fact.run.run_id)
        case TaskEnded():
            event = _task_ended(fact)
            return (
                None if event is None else (event, f"{run_name(fact.task.run_id)}/tasks/{fact.task.task_id}")
            )
        case TransferUnwanted(transfer_id, site):
            unwanted = events_pb2.TransferCancelRequested(transfer_id=transfer_id, site=site)
            return unwanted, f"transfers/{transfer_id}"
        case _:
            return None


def _run_ended(fact: RunEnded) -> Message:
    run = _shortened(run_to_proto(fact.run))
    match fact.run.state:
        case RunState.SUCCEEDED:
            return events_pb2.RunFinished(run=run)
        case RunState.CANCELLED:
            return events_pb2.RunCancelled(run=run)
        case _:
            return events_pb2.RunFailed(run=run)


def _task_ended(fact: TaskEnded) -> Message | None:
    policy, task = policy_name(fact.policy_id), task_to_proto(fact.task)
    match fact.task.state:
        case TaskState.SUCCEEDED:
            return events_pb2.TaskFinished(policy=policy, task=task)
        case TaskState.FAILED:
            return events_pb2.TaskFailed(policy=policy, task=task)
        case TaskState.SKIPPED:
            return events_pb2.TaskSkipped(policy=policy, task=task)
        case _:
            return None


def _shortened(run: run_pb2.Run) -> run_pb2.Run:
    """Without the points its tasks made, and if that is not enough without some of the tasks."""
    if run.ByteSize() <= MOST_RUN_BYTES:
        return run
    for task in run.tasks:
        task.result.ClearField("point")
    tasks = sorted(run.tasks, key=lambda task: task.state == run_pb2.Task.STATE_SUCCEEDED)
    room, kept = MOST_RUN_BYTES, 0
    while kept < len(tasks) and (room := room - tasks[kept].ByteSize()) > 0:
        kept += 1
    del run.tasks[:]
    run.tasks.extend(tasks[:kept])
    run.notices.add(
        code="EVENT_SHORTENED",
        message=f"This event leaves out restore points and {len(tasks) - kept} tasks: look at the run.",
    )
    if run.spec.HasField("backup"):
        del run.spec.backup.vms[:]
    return run
