"""No silent hang: a task nobody says anything about says so itself."""

from dataclasses import replace
from datetime import datetime, timedelta

from services.chassis.clock import Clock
from services.scheduler.app.record import record
from services.scheduler.domain.run import Run, with_task
from services.scheduler.domain.task import Task, TaskState
from services.scheduler.ports import Ledger


class Watchdog:
    """Looks at running tasks that movers have not mentioned for ``silence``."""

    def __init__(self, ledger: Ledger, clock: Clock, silence: timedelta, every: timedelta) -> None:
        self._ledger, self._clock, self._silence, self._every = ledger, clock, silence, every

    async def round(self) -> datetime:
        """Returns when to look again."""
        now = self._clock.now()
        async with self._ledger.reading() as work:
            silent = any(self._told(run, now) != run for run in await work.runs.under_way())
        if silent:
            async with self._ledger.writing() as work:
                for run in await work.runs.under_way():
                    await record(work, run, self._told(run, now))
        return now + self._every

    def _told(self, run: Run, now: datetime) -> Run:
        for task in run.tasks:
            if self._is_silent(task, now):
                run = with_task(run, replace(task, activity=_complaint(run, task)), now)
        return run

    def _is_silent(self, task: Task, now: datetime) -> bool:
        last = task.heard_time or task.give_time
        return task.state is TaskState.RUNNING and last is not None and now - last >= self._silence


def _complaint(run: Run, task: Task) -> str:
    site = run.terms.site
    if task.heard_time is None:
        since = task.give_time
        what = f"No mover of site {site} has taken it up since"
    else:
        since = task.heard_time
        what = f"No mover of site {site} has told anything about it since"
    assert since is not None
    stop = " (stopping)" if task.cancel_requested else ""
    return f"{what} {since:%Y-%m-%d %H:%M UTC}{stop}: see that one runs and reaches NATS"
