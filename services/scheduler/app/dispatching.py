"""Giving queued tasks to the movers, within limits."""

from dataclasses import replace
from datetime import datetime

from services.chassis.clock import Clock
from services.chassis.ids import IdSource
from services.scheduler.app.record import record
from services.scheduler.domain.admission import Defaults, admit, next_retry
from services.scheduler.domain.grouping import left_alone, moments
from services.scheduler.domain.run import with_task
from services.scheduler.domain.task import started
from services.scheduler.ports import Ledger


class Dispatching:
    """Starts what may start. The transfer is enqueued with the task's state: both or neither survive us."""

    def __init__(self, ledger: Ledger, clock: Clock, ids: IdSource, defaults: Defaults) -> None:
        self._ledger, self._clock, self._ids, self._defaults = ledger, clock, ids, defaults

    async def round(self) -> datetime | None:
        """Returns when a retry becomes due, None when there is none."""
        now = self._clock.now()
        async with self._ledger.reading() as work:
            runs = await work.runs.under_way()
            admission = admit(runs, self._defaults, now)
            told = all(task.activity == why for task, why in admission.waiting)
        if not admission.start and told:
            return next_retry(runs, now)
        async with self._ledger.writing() as work:
            before = {run.run_id: run for run in await work.runs.under_way()}
            after = dict(before)
            admission = admit(before.values(), self._defaults, now)
            starting = [(task, self._ids.new()) for task in admission.start]
            together = moments(starting, self._ids.new)
            for task, transfer_id in starting:
                run = after[task.run_id]
                fellows = [each for each in run.tasks if task.group and each.group == task.group]
                going = started(left_alone(task, fellows), transfer_id, now)
                going = replace(going, moment=together.get(task.task_id))
                after[task.run_id] = with_task(run, going, now)
            for task, why in admission.waiting:
                after[task.run_id] = with_task(after[task.run_id], replace(task, activity=why), now)
            for run_id, run in after.items():
                await record(work, before[run_id], run)
        return next_retry(after.values(), now)
