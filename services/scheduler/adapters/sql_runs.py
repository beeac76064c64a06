"""Runs and their tasks in SQL."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from functools import lru_cache

from pydantic import TypeAdapter
from sqlalchemy import ColumnElement, and_, insert, or_, select, update

from services.chassis.sql import Reader
from services.scheduler.adapters.tables import RUNS, TASKS
from services.scheduler.domain.run import Run
from services.scheduler.domain.task import Task

_RUN = TypeAdapter(Run)
_TASK = TypeAdapter(Task)


class SqlRuns:
    """``ports.Runs`` within one transaction. Remembers what it has read, and writes only what differs."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._seen: dict[str, Run] = {}

    async def get(self, run_id: str) -> Run | None:
        return _first(await self._where(RUNS.c.run_id == run_id))

    async def ids_starting_with(self, prefix: str) -> Sequence[str]:
        rows = await self._reader.execute(
            select(RUNS.c.run_id).where(RUNS.c.run_id.startswith(prefix, autoescape=True)).limit(2)
        )
        return [run_id for (run_id,) in rows]

    async def of_request(self, request_id: str) -> Run | None:
        return _first(await self._where(RUNS.c.request_id == request_id))

    async def of_transfer(self, transfer_id: str) -> Run | None:
        run_id = await self._reader.scalar(select(TASKS.c.run_id).where(TASKS.c.transfer_id == transfer_id))
        return None if run_id is None else await self.get(run_id)

    async def active_of_policy(self, policy_id: str) -> Run | None:
        return _first(await self._where(and_(RUNS.c.ended.is_(False), RUNS.c.policy_id == policy_id)))

    async def under_way(self) -> Sequence[Run]:
        return await self._where(RUNS.c.ended.is_(False))

    async def page(self, before: tuple[datetime, str] | None, size: int) -> Sequence[Run]:
        wanted = select(RUNS.c.document).order_by(RUNS.c.create_time.desc(), RUNS.c.run_id.desc())
        if before is not None:
            moment, run_id = before
            same = and_(RUNS.c.create_time == moment, RUNS.c.run_id < run_id)
            wanted = wanted.where(or_(RUNS.c.create_time < moment, same))
        rows = await self._reader.execute(wanted.limit(size))
        return [_RUN.validate_json(document) for (document,) in rows]

    async def put(self, run: Run) -> None:
        await self._put_run(run)
        seen = self._seen.get(run.run_id)
        before = {task.task_id: task for task in seen.tasks} if seen else {}
        for task in run.tasks:
            if before.get(task.task_id) != task:
                await self._put_task(task)
        self._seen[run.run_id] = run

    async def _put_run(self, run: Run) -> None:
        values = {
            "ended": run.state.ended,
            "document": _RUN.dump_json(replace(run, tasks=())).decode(),
        }
        changed = await self._reader.execute(update(RUNS).where(RUNS.c.run_id == run.run_id).values(values))
        if changed.rowcount == 0:
            fixed = {
                "run_id": run.run_id,
                "create_time": run.create_time,
                "request_id": run.request_id or None,
                "policy_id": run.policy_id,
            }
            await self._reader.execute(insert(RUNS).values(fixed | values))

    async def _put_task(self, task: Task) -> None:
        values = {
            "transfer_id": task.transfer_id or None,
            "document": _TASK.dump_json(replace(task, result=b"")).decode(),
            "result": task.result,
        }
        changed = await self._reader.execute(
            update(TASKS).where(TASKS.c.task_id == task.task_id).values(values)
        )
        if changed.rowcount == 0:
            fixed = {"task_id": task.task_id, "run_id": task.run_id, "position": task.position}
            await self._reader.execute(insert(TASKS).values(fixed | values))

    async def _where(self, condition: ColumnElement[bool]) -> list[Run]:
        # Runs first: tasks read later are never older than their run, so a run that ended shows their ends.
        run_rows = await self._reader.execute(
            select(RUNS.c.document).where(condition).order_by(RUNS.c.create_time, RUNS.c.run_id)
        )
        runs = [_RUN.validate_json(document) for (document,) in run_rows]
        task_rows = await self._reader.execute(
            select(TASKS.c.document, TASKS.c.result)
            .join(RUNS, RUNS.c.run_id == TASKS.c.run_id)
            .where(condition)
            .order_by(TASKS.c.run_id, TASKS.c.position)
        )
        tasks: dict[str, list[Task]] = {}
        for row in task_rows:
            task = replace(_task(row.document), result=row.result)
            tasks.setdefault(task.run_id, []).append(task)
        found = [replace(run, tasks=tuple(tasks.get(run.run_id, ()))) for run in runs]
        self._seen |= {run.run_id: run for run in found}
        return found


@lru_cache(maxsize=10_000)
def _task(document: str) -> Task:
    """Most documents of a run that is under way are the same as a moment ago, and a Task never changes."""
    return _TASK.validate_json(document)


def _first(runs: Sequence[Run]) -> Run | None:
    return runs[0] if runs else None
