"""What movers tell of transfers moves the tasks. Facts about transfers that are not ours change nothing."""

from collections.abc import Callable
from datetime import timedelta

from services.chassis.clock import Clock
from services.scheduler.app.record import record
from services.scheduler.domain import task as tasks
from services.scheduler.domain.hindrance import HINDRANCES, hindered
from services.scheduler.domain.notes import Failure, Notice
from services.scheduler.domain.run import Run, patience_of, with_task
from services.scheduler.domain.task import Progress, Task
from services.scheduler.ports import Work

Move = Callable[[Run, Task], Task]


class Transfers:
    """Each fact is applied within the unit of work that also remembers that it was."""

    def __init__(self, clock: Clock, progress_every: timedelta = timedelta(seconds=1)) -> None:
        """Progress is kept at most once in ``progress_every`` per task."""
        self._clock, self._progress_every = clock, progress_every

    async def started(self, work: Work, transfer_id: str) -> None:
        now = self._clock.now()
        await self._move(work, transfer_id, lambda _, task: tasks.taken_up(task, transfer_id, now))

    async def progressed(self, work: Work, transfer_id: str, progress: Progress) -> None:
        now = self._clock.now()

        def move(_: Run, task: Task) -> Task:
            if task.progress and task.heard_time and now - task.heard_time < self._progress_every:
                return task
            return tasks.progressed(task, transfer_id, progress, now)

        await self._move(work, transfer_id, move)

    async def finished(self, work: Work, transfer_id: str, result: bytes) -> None:
        now = self._clock.now()
        await self._move(work, transfer_id, lambda _, task: tasks.finished(task, transfer_id, result, now))

    async def failed(
        self,
        work: Work,
        transfer_id: str,
        failure: Failure,
        *,
        retryable: bool,
        notices: tuple[Notice, ...] = (),
    ) -> None:
        """``notices`` are what the mover noticed before it gave up."""
        now = self._clock.now()

        def move(run: Run, task: Task) -> Task:
            if retryable and failure.reason in HINDRANCES and not task.cancel_requested:
                return hindered(task, transfer_id, failure, patience_of(run), now)
            rule = run.terms.retry
            task = tasks.noted(task, transfer_id, notices)
            return tasks.failed(task, transfer_id, failure, retryable=retryable, rule=rule, now=now)

        await self._move(work, transfer_id, move)

    async def cancelled(self, work: Work, transfer_id: str) -> None:
        now = self._clock.now()
        await self._move(work, transfer_id, lambda _, task: tasks.cancelled(task, transfer_id, now))

    async def _move(self, work: Work, transfer_id: str, move: Move) -> None:
        run = await work.runs.of_transfer(transfer_id)
        if run is None:
            return
        for task in run.tasks:
            if task.hears_of(transfer_id):
                await record(work, run, with_task(run, move(run, task), self._clock.now()))
