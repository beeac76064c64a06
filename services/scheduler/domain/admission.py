"""How much at once: which queued tasks may start now, and what the others wait for."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from services.scheduler.domain.run import RestoreTerms, Run, RunState
from services.scheduler.domain.task import Task, TaskState


@dataclass(frozen=True, slots=True)
class Defaults:
    """Limits where a policy gives none; the one per pool holds for all policies together."""

    tasks_per_run: int = 4
    tasks_per_host: int = 2
    tasks_per_pool: int = 8
    tasks_per_sr: int = 4


@dataclass(frozen=True, slots=True)
class Admission:
    """``start`` in order; ``waiting`` are the other queued tasks, each with what it waits for."""

    start: tuple[Task, ...]
    waiting: tuple[tuple[Task, str], ...]


def admit(runs: Iterable[Run], defaults: Defaults, now: datetime) -> Admission:
    """Decide over all runs that are under way, the oldest first.

    A VM is in one backup at a time, over all runs. A VM that does not run counts for no host. A group starts
    as a whole when there is room for any of its VMs: it may go beyond limits by its own size.
    """
    active = sorted(
        (run for run in runs if run.state is RunState.RUNNING), key=lambda run: (run.create_time, run.run_id)
    )
    busy = _Busy()
    for run in active:
        for task in run.tasks:
            if task.state is TaskState.RUNNING:
                busy.add(run, task)
    start: list[Task] = []
    waiting: list[tuple[Task, str]] = []
    for run in active:
        for tasks in _units(run):
            if obstacle := _obstacle_of(run, tasks, busy, defaults, now):
                waiting += [(task, obstacle) for task in tasks]
                continue
            for task in tasks:
                busy.add(run, task)
                start.append(task)
    return Admission(tuple(start), tuple(waiting))


def _units(run: Run) -> list[list[Task]]:
    """The queued tasks that start together, in order."""
    units: dict[str, list[Task]] = {}
    for task in sorted(run.tasks, key=lambda task: task.position):
        if task.state is TaskState.QUEUED:
            units.setdefault(f"group {task.group}" if task.group else task.task_id, []).append(task)
    return list(units.values())


def _obstacle_of(run: Run, tasks: list[Task], busy: "_Busy", defaults: Defaults, now: datetime) -> str:
    group = tasks[0].group
    if group and any(task.group == group and task.state is TaskState.RUNNING for task in run.tasks):
        return f"Waits: other VMs of its group {group!r} are under way"
    for task in tasks:
        if obstacle := _obstacle(run, task, busy, defaults, now):
            return obstacle if len(tasks) == 1 else f"Waits for {task.display_name}: {obstacle}"
    return ""


class _Busy:
    """What is under way, counted."""

    def __init__(self) -> None:
        self.per_run: Counter[str] = Counter()
        self.per_host: Counter[str] = Counter()
        self.per_pool: Counter[str] = Counter()
        self.per_sr: Counter[str] = Counter()
        self.backup_of: dict[str, str] = {}

    def add(self, run: Run, task: Task) -> None:
        self.per_run[run.run_id] += 1
        self.per_host[task.host_id] += 1
        self.per_pool[task.pool_id] += 1
        self.per_sr.update(task.sr_ids)
        if not isinstance(run.terms, RestoreTerms):
            self.backup_of[task.subject] = run.run_id


def _obstacle(run: Run, task: Task, busy: _Busy, defaults: Defaults, now: datetime) -> str:
    if task.not_before is not None and task.not_before > now:
        return task.activity
    limits = run.terms.limits
    per_run = limits.tasks_per_run or defaults.tasks_per_run
    per_host = limits.tasks_per_host or defaults.tasks_per_host
    per_sr = limits.tasks_per_sr or defaults.tasks_per_sr
    if other := busy.backup_of.get(task.subject):
        return f"Waits for run {other}, which is backing this VM up"
    if busy.per_run[run.run_id] >= per_run:
        return f"Waits: {per_run} tasks of this run are under way"
    if task.host_id and busy.per_host[task.host_id] >= per_host:
        return f"Waits: {per_host} tasks on VMs of its host are under way"
    if any(busy.per_sr[sr_id] >= per_sr for sr_id in task.sr_ids):
        return f"Waits: {per_sr} tasks on VMs with disks on its storage repository are under way"
    if busy.per_pool[task.pool_id] >= defaults.tasks_per_pool:
        return f"Waits: {defaults.tasks_per_pool} tasks in its pool are under way"
    return ""


def next_retry(runs: Iterable[Run], now: datetime) -> datetime | None:
    """The earliest moment at which a task that waits for a retry may start."""
    moments = [
        task.not_before
        for run in runs
        for task in run.tasks
        if task.state is TaskState.QUEUED and task.not_before is not None and task.not_before > now
    ]
    return min(moments, default=None)
