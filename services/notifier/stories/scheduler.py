"""Runs and tasks."""

from collections.abc import Iterable, Iterator
from datetime import UTC

from xenkeep.common.v1.capture_pb2 import Failure
from xenkeep.scheduler.v1 import events_pb2 as events
from xenkeep.scheduler.v1.run_pb2 import Run, Task

from services.notifier.domain.amounts import count, duration, size
from services.notifier.domain.notification import Severity, Story

MOST_TASKS = 50
"""A message names this many tasks; what is left out is counted."""

Details = tuple[tuple[str, str], ...]


def run_finished(event: events.RunFinished) -> Story:
    run = event.run
    skipped = [task for task in run.tasks if task.state == Task.STATE_SKIPPED]
    remarks = sum(len(task.result.notices) for task in run.tasks)
    done = count(len(run.tasks) - len(skipped), "VM")
    parts = [f"{done} {_deed(run)}"]
    if skipped:
        parts.append(f"{len(skipped)} skipped")
    if remarks:
        parts.append(f"with {count(remarks, 'remark')}")
    return Story(
        severity=Severity.WARNING if skipped or remarks else Severity.INFO,
        incident=_incident(run),
        about=_about(run),
        headline=", ".join(parts),
        advice="Read below what was less than asked." if skipped or remarks else "",
        details=_totals(run) + _told(run.tasks),
    )


def run_failed(event: events.RunFailed) -> Story:
    run = event.run
    failed = [task for task in run.tasks if task.state == Task.STATE_FAILED]
    headline = f"{len(failed)} of {count(len(run.tasks), 'VM')} not {_deed(run)}"
    if not failed:
        headline = f"could not start: {run.failure.message}" if run.failure.message else "failed"
    first = next((task.failure for task in failed if task.failure.hint), run.failure)
    return Story(
        severity=Severity.ERROR,
        incident=_incident(run),
        about=_about(run),
        headline=headline,
        advice=first.hint or f"See {run.name} for the cause and run it again.",
        details=_totals(run) + _told(run.tasks),
    )


def run_cancelled(event: events.RunCancelled) -> Story:
    run = event.run
    done = sum(task.state == Task.STATE_SUCCEEDED for task in run.tasks)
    return Story(
        severity=Severity.WARNING,
        incident=_incident(run),
        about=_about(run),
        headline=f"cancelled; {done} of {count(len(run.tasks), 'VM')} {_deed(run)} before",
        advice="Run it again when the reason for stopping it is gone.",
        details=_totals(run),
    )


def task_finished(event: events.TaskFinished) -> Story | None:
    """News only when something was less than asked."""
    remarks = event.task.result.notices
    if not remarks:
        return None
    return Story(
        severity=Severity.WARNING,
        incident=_task_incident(event.policy, event.task),
        about=_task_about(event.task),
        headline=f"done, with {count(len(remarks), 'remark')}: {remarks[0].message}",
        details=(*_policy(event.policy), *_remarks(event.task)),
    )


def task_failed(event: events.TaskFailed) -> Story:
    failure = event.task.failure
    return Story(
        severity=Severity.ERROR,
        incident=_task_incident(event.policy, event.task),
        about=_task_about(event.task),
        headline=f"given up: {_words(failure)}",
        advice=failure.hint or f"See {event.task.name} for the cause and run it again.",
        details=(*_policy(event.policy), ("Task", event.task.name), ("Attempts", str(event.task.attempt))),
    )


def task_skipped(event: events.TaskSkipped) -> Story:
    failure = event.task.failure
    return Story(
        severity=Severity.WARNING,
        incident=_task_incident(event.policy, event.task),
        about=_task_about(event.task),
        headline=f"skipped: {_words(failure)}",
        advice=failure.hint,
        details=(*_policy(event.policy), ("Task", event.task.name)),
    )


def _deed(run: Run) -> str:
    return "restored" if run.spec.WhichOneof("kind") == "restore" else "backed up"


def _about(run: Run) -> str:
    match run.spec.WhichOneof("kind"):
        case "policy":
            return run.spec.policy.policy.removeprefix("policies/")
        case "restore":
            names = [task.subject_display_name for task in run.tasks if task.subject_display_name]
            return f"restore of {names[0]}" if names else "restore"
    return "backup by hand"


def _incident(run: Run) -> str:
    return run.spec.policy.policy or run.name


def _task_incident(policy: str, task: Task) -> str:
    if not policy:
        return task.name.partition("/tasks/")[0]
    return policy if policy.startswith("policies/") else f"policies/{policy}"


def _task_about(task: Task) -> str:
    return task.subject_display_name or task.subject or task.name


def _policy(policy: str) -> Details:
    return (("Policy", policy.removeprefix("policies/")),) if policy else ()


def _words(failure: Failure) -> str:
    return failure.message or failure.reason or "no reason was given"


def _totals(run: Run) -> Details:
    points = [task.result.point for task in run.tasks if task.result.HasField("point")]
    details = [("Run", run.name)]
    if run.HasField("create_time") and run.HasField("end_time"):
        began, ended = (moment.ToDatetime(UTC) for moment in (run.create_time, run.end_time))
        details.append(("Took", duration(ended - began)))
    if points:
        details.append(("Read", size(sum(point.read_bytes for point in points))))
        details.append(("Stored", size(sum(point.stored_bytes for point in points))))
    return tuple(details)


def _told(tasks: Iterable[Task]) -> Details:
    told = [detail for task in tasks for detail in _of_task(task)]
    more = (("And", f"{len(told) - MOST_TASKS} more lines; the run has them all"),)
    return tuple(told[:MOST_TASKS]) + (more if len(told) > MOST_TASKS else ())


def _of_task(task: Task) -> Iterator[tuple[str, str]]:
    if task.state in (Task.STATE_FAILED, Task.STATE_SKIPPED):
        what = "failed" if task.state == Task.STATE_FAILED else "skipped"
        yield _task_about(task), f"{what}: {_words(task.failure)}"
    yield from _remarks(task)


def _remarks(task: Task) -> Iterator[tuple[str, str]]:
    for remark in task.result.notices:
        yield _task_about(task), f"{remark.message} ({remark.code})"
