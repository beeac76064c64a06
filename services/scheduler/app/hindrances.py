"""A VM that waits for its pool goes on as soon as the pool can bear its snapshot."""

from services.chassis.clock import Clock
from services.scheduler.app.record import record
from services.scheduler.domain.hindrance import unhindered
from services.scheduler.domain.run import with_task
from services.scheduler.ports import Work


class Hindrances:
    """Wakes tasks that were refused for the pool's sake."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def over(self, work: Work, vm: str) -> None:
        """A snapshot of ``vm`` (``pools/{pool}/vms/{vm}``) is possible now, and so is that of its group."""
        for run in await work.runs.under_way():
            after = run
            groups = {task.group for task in run.tasks if task.subject == vm} - {""}
            for task in run.tasks:
                if task.subject == vm or task.group in groups:
                    after = with_task(after, unhindered(task), self._clock.now())
            await record(work, run, after)
