"""No silent hang: a task nobody says anything about is asked for, and says so itself."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from services.chassis.clock import Clock
from services.chassis.errors import XenkeepError
from services.scheduler.app.record import record
from services.scheduler.domain import task as tasks
from services.scheduler.domain.notes import Failure, Notice
from services.scheduler.domain.run import Run, with_task
from services.scheduler.domain.task import Task, TaskState
from services.scheduler.ports import Ledger, Outcome, Report, Reports

ASKED = Notice(
    "OUTCOME_ASKED_FOR", "No event told how this transfer ended; the scheduler asked its mover instead."
)
NO_REASON = Failure("Internal", "UNSPECIFIED", "The mover gave no reason.")


@dataclass(frozen=True, slots=True)
class _Answer:
    """``report`` is None when no mover knows the transfer; ``trouble`` says why nobody could be asked."""

    report: Report | None = None
    trouble: str = ""


class Watchdog:
    """Looks at running tasks that movers have not mentioned for ``silence``."""

    def __init__(
        self, ledger: Ledger, reports: Reports, clock: Clock, silence: timedelta, every: timedelta
    ) -> None:
        self._ledger, self._reports, self._clock = ledger, reports, clock
        self._silence, self._every = silence, every
        self._next_time = clock.now()

    async def round(self) -> datetime:
        """Returns when to look again."""
        now = self._clock.now()
        if now >= self._next_time:
            await self._look(now)
            self._next_time = self._clock.now() + self._every
        return self._next_time

    async def _look(self, now: datetime) -> None:
        async with self._ledger.reading() as work:
            runs = await work.runs.under_way()
        silent = [task for run in runs for task in run.tasks if self._is_silent(task, now)]
        if not silent:
            return
        answers = {task.transfer_id: await self._ask(task.transfer_id) for task in silent}
        async with self._ledger.writing() as work:
            for run in await work.runs.under_way():
                await record(work, run, self._judged(run, answers, self._clock.now()))

    async def _ask(self, transfer_id: str) -> _Answer:
        try:
            return _Answer(await self._reports.find(transfer_id))
        except XenkeepError as error:
            return _Answer(trouble=error.message)

    def _judged(self, run: Run, answers: Mapping[str, _Answer], now: datetime) -> Run:
        for task in run.tasks:
            if self._is_silent(task, now) and (answer := answers.get(task.transfer_id)):
                run = with_task(run, _judge(run, task, answer, now), now)
        return run

    def _is_silent(self, task: Task, now: datetime) -> bool:
        last = task.heard_time or task.give_time
        return task.state is TaskState.RUNNING and last is not None and now - last >= self._silence


def _judge(run: Run, task: Task, answer: _Answer, now: datetime) -> Task:
    asked = replace(task, notices=(*task.notices, ASKED))
    match answer:
        case _Answer(Report(Outcome.SUCCEEDED, result)):
            return tasks.finished(asked, task.transfer_id, result, now)
        case _Answer(Report(Outcome.FAILED, _, failure)):
            rule = run.terms.retry
            why = failure or NO_REASON
            return tasks.failed(asked, task.transfer_id, why, retryable=False, rule=rule, now=now)
        case _Answer(Report(Outcome.CANCELLED)):
            return tasks.cancelled(asked, task.transfer_id, now)
        case _Answer(None, "") if task.cancel_requested:
            return tasks.cancelled(asked, task.transfer_id, now)
        case _:
            return replace(task, activity=_complaint(run, task, answer))


def _complaint(run: Run, task: Task, answer: _Answer) -> str:
    since = task.heard_time or task.give_time
    done = "has told anything about it" if task.heard_time else "has taken it up"
    text = f"No mover of site {run.terms.site} {done} since {since:%Y-%m-%d %H:%M UTC}"
    if answer.trouble:
        return f"{text}; asking for it failed: {answer.trouble}"
    return f"{text}: see that one runs and reaches NATS"
