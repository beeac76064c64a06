"""A VM that moves to another host counts there."""

from dataclasses import replace

from services.chassis.clock import Clock
from services.scheduler.app.record import record
from services.scheduler.domain.run import with_task
from services.scheduler.domain.task import TaskState
from services.scheduler.ports import Work


class Moves:
    """Only tasks that wait: what is under way was begun on the host it counts for."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def moved(self, work: Work, vm: str, host_id: str) -> None:
        """``vm`` (``pools/{pool}/vms/{vm}``) runs on ``host_id`` now."""
        for run in await work.runs.under_way():
            after = run
            for task in run.tasks:
                if task.subject == vm and task.state is TaskState.QUEUED:
                    after = with_task(after, replace(task, host_id=host_id), self._clock.now())
            await record(work, run, after)
