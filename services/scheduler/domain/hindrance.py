"""A backup that the pool cannot bear now: it waits in the queue, and is skipped when that takes too long."""

from dataclasses import replace
from datetime import datetime, timedelta

from services.scheduler.domain.notes import Failure, Notice
from services.scheduler.domain.task import Task, TaskState, skipped

HINDRANCES = frozenset(
    {"VM_MIGRATING", "DISK_CHAIN_LONG", "SR_COALESCING", "SR_SPACE_LOW", "NBD_CONNECTIONS_SPENT"}
)
"""Reasons of the hypervisor service to refuse a snapshot for the pool's sake; nothing was done."""

DELAYED = "SNAPSHOT_DELAYED"
LOOK_AGAIN = timedelta(minutes=2)
"""How soon it is tried again should the word that it is possible get lost."""


def hindered(task: Task, transfer_id: str, failure: Failure, patience: timedelta, now: datetime) -> Task:
    """Back in the queue without counting as a try. It is tried once more when its patience is at an end, and
    SKIPPED with the reason if that does not help either.
    """
    if not task.hears_of(transfer_id):
        return task
    since = task.hindered_since or now
    until = since + patience
    told = replace(task, heard_time=now, hindered_since=since)
    if now >= until:
        return skipped(told, failure, now)
    notices = task.notices
    if task.hindered_since is None:
        notices = (*notices, Notice(DELAYED, f"It had to wait ({failure.reason}): {failure.message}"))
    return replace(
        told,
        state=TaskState.QUEUED,
        transfer_id="",
        moment=None,
        not_before=min(now + LOOK_AGAIN, until),
        activity=f"Waits until {until:%H:%M UTC} at most: {failure.message}",
        notices=notices,
        progress=None,
    )


def unhindered(task: Task) -> Task:
    """The pool says that its snapshot is possible: it may be tried at once."""
    if task.state is not TaskState.QUEUED or task.hindered_since is None:
        return task
    return replace(task, not_before=None)
