"""What follows from a change of a run: told to the world in the same transaction as the change."""

from collections.abc import Iterator
from dataclasses import dataclass

from services.scheduler.domain.run import Run, RunState
from services.scheduler.domain.task import Task, TaskState


@dataclass(frozen=True, slots=True)
class RunStarted:
    """Its VMs are selected and there is something to do."""

    run: Run


@dataclass(frozen=True, slots=True)
class RunEnded:
    """``run.state`` tells how."""

    run: Run


@dataclass(frozen=True, slots=True)
class TaskEnded:
    """``task.state`` tells how: SUCCEEDED, FAILED, CANCELLED or SKIPPED."""

    policy_id: str
    task: Task


@dataclass(frozen=True, slots=True)
class TransferWanted:
    """A mover of the run's site is to take ``task.transfer_id`` up."""

    run: Run
    task: Task


@dataclass(frozen=True, slots=True)
class TransferUnwanted:
    """The mover of ``site`` that has the transfer is to stop; one that meets it later is not to start it."""

    transfer_id: str
    site: str


Fact = RunStarted | RunEnded | TaskEnded | TransferWanted | TransferUnwanted


def facts_of(before: Run | None, after: Run) -> Iterator[Fact]:
    """Each fact once: the same change made twice has none the second time."""
    was = {task.task_id: task for task in before.tasks} if before else {}
    if after.state is not RunState.PENDING and after.tasks and (before is None or not before.tasks):
        yield RunStarted(after)
    for task in after.tasks:
        old = was.get(task.task_id)
        if task.state is TaskState.RUNNING and (old is None or old.transfer_id != task.transfer_id):
            yield TransferWanted(after, task)
        if task.state is TaskState.RUNNING and task.cancel_requested and not (old and old.cancel_requested):
            yield TransferUnwanted(task.transfer_id, after.terms.site)
        if task.state.ended and not (old and old.state.ended):
            yield TaskEnded(after.policy_id, task)
    if after.state.ended and not (before and before.state.ended):
        yield RunEnded(after)
