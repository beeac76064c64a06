"""A task: the part of a run for one VM, and how facts about its transfer move it.

A fact about a transfer that is not the task's current one, or that comes when the task has ended, changes
nothing: facts arrive twice, late and out of order.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum

from services.scheduler.domain.notes import Failure, Notice
from services.scheduler.domain.policy import RetryRule

STOPPING = "Stopping: waits for the mover"


class TaskState(Enum):
    """QUEUED and RUNNING are under way; the others are ends."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"

    @property
    def ended(self) -> bool:
        return self not in (TaskState.QUEUED, TaskState.RUNNING)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a transfer is, in bytes; ``total_bytes`` is 0 while not known."""

    total_bytes: int = 0
    done_bytes: int = 0
    read_bytes: int = 0
    stored_bytes: int = 0
    activity: str = ""


@dataclass(frozen=True, slots=True)
class Member:
    """A VM (``pools/{pool}/vms/{vm}``) of a group, and the transfer that backs it up."""

    subject: str
    transfer_id: str


@dataclass(frozen=True, slots=True)
class Moment:
    """What the transfers of a group say of themselves so that they are captured together."""

    group_id: str
    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class Task:
    """``result`` is the mover's answer, carried through as it came; ``heard_time`` its last sign of life.

    ``transfer_id`` stays after the end; it is empty before the first start and while waiting for a retry.
    ``group`` is the name of the group it is captured with, ``moment`` what it was started with last time.
    ``sr_ids`` are where the VM's disks were when it was selected; ``hindered_since`` is when the pool first
    refused its snapshot.
    """

    run_id: str
    task_id: str
    position: int
    subject: str
    display_name: str
    pool_id: str
    host_id: str = ""
    state: TaskState = TaskState.QUEUED
    activity: str = ""
    progress: Progress | None = None
    result: bytes = b""
    failure: Failure | None = None
    notices: tuple[Notice, ...] = ()
    attempt: int = 1
    transfer_id: str = ""
    not_before: datetime | None = None
    cancel_requested: bool = False
    start_time: datetime | None = None
    end_time: datetime | None = None
    give_time: datetime | None = None
    heard_time: datetime | None = None
    group: str = ""
    moment: Moment | None = None
    sr_ids: tuple[str, ...] = ()
    hindered_since: datetime | None = None

    def hears_of(self, transfer_id: str) -> bool:
        """Whether a fact about ``transfer_id`` concerns this task now."""
        return self.state is TaskState.RUNNING and self.transfer_id == transfer_id


def started(task: Task, transfer_id: str, now: datetime) -> Task:
    """Given to the movers under ``transfer_id``."""
    if task.state is not TaskState.QUEUED:
        raise ValueError(f"task {task.task_id} is {task.state.value}, not queued")
    return replace(
        task,
        state=TaskState.RUNNING,
        transfer_id=transfer_id,
        activity="Waits for a mover",
        progress=None,
        not_before=None,
        start_time=task.start_time or now,
        give_time=now,
        heard_time=None,
    )


def taken_up(task: Task, transfer_id: str, now: datetime) -> Task:
    """A mover has it, perhaps not the first one."""
    if not task.hears_of(transfer_id):
        return task
    activity = STOPPING if task.cancel_requested else "A mover has taken it up"
    return replace(task, heard_time=now, activity=activity)


def progressed(task: Task, transfer_id: str, progress: Progress, now: datetime) -> Task:
    """The mover tells how far it is."""
    if not task.hears_of(transfer_id):
        return task
    activity = STOPPING if task.cancel_requested else progress.activity or "A mover works on it"
    return replace(task, heard_time=now, progress=progress, activity=activity)


def finished(task: Task, transfer_id: str, result: bytes, now: datetime) -> Task:
    """Done; also when a cancellation came too late."""
    if not task.hears_of(transfer_id):
        return task
    told = replace(task, result=result, heard_time=now, progress=_all_done(task.progress))
    return _ended(told, TaskState.SUCCEEDED, now)


def _all_done(progress: Progress | None) -> Progress | None:
    """What was heard last may be a second old; whoever succeeded has done everything."""
    return replace(progress, done_bytes=progress.total_bytes or progress.done_bytes) if progress else None


def noted(task: Task, transfer_id: str, notices: tuple[Notice, ...]) -> Task:
    """A person is told these, too, each once however many tries met it."""
    if not task.hears_of(transfer_id):
        return task
    return replace(task, notices=tuple(dict.fromkeys((*task.notices, *notices))))


def failed(
    task: Task, transfer_id: str, failure: Failure, *, retryable: bool, rule: RetryRule, now: datetime
) -> Task:
    """Given up by the movers: queued again if that may help and the rule allows it, else FAILED."""
    if not task.hears_of(transfer_id):
        return task
    told = replace(task, heard_time=now)
    if task.cancel_requested:
        return _ended(replace(told, failure=failure), TaskState.CANCELLED, now)
    if not retryable or task.attempt > rule.retries:
        return _ended(replace(told, failure=failure), TaskState.FAILED, now)
    notice = Notice("TRY_FAILED", f"Try {task.attempt} failed ({failure.reason}): {failure.message}")
    return replace(
        told,
        state=TaskState.QUEUED,
        attempt=task.attempt + 1,
        transfer_id="",
        moment=None,
        not_before=now + rule.delay,
        notices=(*task.notices, notice),
        activity=f"Waits for try {task.attempt + 1}: {failure.message}",
        progress=None,
    )


def cancelled(task: Task, transfer_id: str, now: datetime) -> Task:
    """The mover has stopped, on our request or on somebody else's."""
    if not task.hears_of(transfer_id):
        return task
    failure = task.failure
    if not task.cancel_requested:
        failure = Failure(
            "Cancelled",
            "TRANSFER_CANCELLED",
            f"Transfer {transfer_id} was cancelled at the mover, not through its run.",
        )
    return _ended(replace(task, failure=failure, heard_time=now), TaskState.CANCELLED, now)


def cancel_asked(task: Task, now: datetime) -> Task:
    """A queued task ends at once; a running one waits until the mover has stopped."""
    if task.state is TaskState.QUEUED:
        return _ended(replace(task, cancel_requested=True), TaskState.CANCELLED, now)
    if task.state is TaskState.RUNNING and not task.cancel_requested:
        return replace(task, cancel_requested=True, activity=STOPPING)
    return task


def skipped(task: Task, failure: Failure, now: datetime) -> Task:
    """Left out, for a reason that is no error."""
    return _ended(replace(task, failure=failure), TaskState.SKIPPED, now)


def _ended(task: Task, state: TaskState, now: datetime) -> Task:
    return replace(task, state=state, end_time=now, activity="", not_before=None)
