"""Deciding what a pending run does: which VMs, which repository, which site."""

import asyncio
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from services.chassis.clock import Clock
from services.chassis.errors import DeadlineExceeded, Unavailable, XenkeepError
from services.chassis.ids import IdSource
from services.scheduler.app.record import record
from services.scheduler.domain.grouping import grouped
from services.scheduler.domain.notes import Failure, Notice, failure_of
from services.scheduler.domain.pool_metadata import PoolMetadata, PoolRef
from services.scheduler.domain.run import (
    BackupRun,
    BackupTerms,
    RestoreTerms,
    Run,
    RunState,
    Terms,
    begun,
    postponed,
    refused,
)
from services.scheduler.domain.selection import check_by_hand, select
from services.scheduler.domain.task import Task, skipped
from services.scheduler.ports import Ledger, Repositories, Vms

log = structlog.get_logger("xenkeep.scheduler")
FIRST_WAIT = timedelta(seconds=2)
LONGEST_WAIT = timedelta(seconds=60)
AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class _Decision:
    terms: Terms
    tasks: tuple[Task, ...]
    notices: tuple[Notice, ...] = ()


class Selecting:
    """Works on every run that is PENDING; a neighbour that does not answer is asked again until
    ``patience`` has passed since the run was created.
    """

    def __init__(
        self,
        ledger: Ledger,
        vms: Vms,
        repositories: Repositories,
        clock: Clock,
        ids: IdSource,
        patience: timedelta,
    ) -> None:
        self._ledger, self._vms, self._repositories = ledger, vms, repositories
        self._clock, self._ids, self._patience = clock, ids, patience

    async def round(self) -> datetime | None:
        """Decide what can be decided now; returns when to look again, None when nothing is pending."""
        now = self._clock.now()
        async with self._ledger.reading() as work:
            pending = [run for run in await work.runs.under_way() if run.state is RunState.PENDING]
        due = [run for run in pending if run.try_time is None or run.try_time <= now]
        await asyncio.gather(*(self._settle(run) for run in due[:AT_ONCE]))
        if due:
            return self._clock.now()
        return min((run.try_time for run in pending if run.try_time), default=None)

    async def _settle(self, run: Run) -> None:
        try:
            decision: _Decision | XenkeepError | Failure = await self._decide(run)
        except XenkeepError as error:
            decision = error
        except Exception as error:  # the boundary: a run that breaks us fails, and breaks no other run
            log.exception("selecting broke", run=run.run_id)
            decision = Failure(
                "Internal",
                "SELECTION_BROKE",
                f"Selecting the VMs broke: {type(error).__name__}.",
                "This is a defect: look into the scheduler's log and report it.",
            )
        async with self._ledger.writing() as work:
            current = await work.runs.get(run.run_id)
            if current is not None and current.state is RunState.PENDING:
                await record(work, current, self._outcome(current, decision))

    def _outcome(self, run: Run, decision: _Decision | XenkeepError | Failure) -> Run:
        now = self._clock.now()
        match decision:
            case _Decision(terms, tasks, notices):
                return begun(replace(run, notices=(*run.notices, *notices)), terms, tasks, now)
            case Unavailable() | DeadlineExceeded() if now < run.create_time + self._patience:
                wait = min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(run.tries, 10))
                return postponed(run, f"Waits for a neighbour: {decision.message}", now + wait)
            case XenkeepError():
                return refused(run, failure_of(decision), now)
            case Failure():
                return refused(run, decision, now)

    async def _decide(self, run: Run) -> _Decision:
        match run.terms:
            case BackupTerms() as terms:
                return await self._decide_backup(run, terms)
            case RestoreTerms() as terms:
                return await self._decide_restore(run, terms)

    async def _decide_backup(self, run: Run, terms: BackupTerms) -> _Decision:
        repository = await self._repositories.find(terms.repository)
        vms = await self._vms.list_vms(terms.selector.pool)
        if isinstance(run.spec, BackupRun):
            check_by_hand(terms.selector, vms)
        selection = select(terms.selector, vms)
        groups, notices = grouped(terms.grouping, selection.vms)
        tasks = [
            Task(
                run_id=run.run_id,
                task_id=self._ids.new(),
                position=position,
                subject=vm.name,
                display_name=vm.display_name,
                pool_id=vm.pool_id,
                host_id=vm.host_id,
                sr_ids=vm.sr_ids,
                group=groups.get(vm.name, ""),
            )
            for position, vm in enumerate(selection.vms)
        ]
        for pool in await self._pools(terms.pool_metadata):
            task = Task(run.run_id, self._ids.new(), len(tasks), pool.name, pool.display_name, pool.pool_id)
            tasks.append(task)
        for missing in selection.missing:
            task = Task(run.run_id, self._ids.new(), len(tasks), "", missing, "")
            tasks.append(skipped(task, _vm_not_found(missing), self._clock.now()))
        decided = replace(terms, repository=repository.name, site=repository.site)
        return _Decision(decided, tuple(tasks), notices)

    async def _pools(self, metadata: PoolMetadata | None) -> list[PoolRef]:
        """Those whose metadata is saved. Raises NotFound for one that is named and not there."""
        if metadata is None:
            return []
        every = await self._vms.list_pools()
        if not metadata.pools:
            return list(every)
        names = dict.fromkeys([await self._vms.find_pool(pool) for pool in metadata.pools])
        return [pool for pool in every if pool.name in names]

    async def _decide_restore(self, run: Run, terms: RestoreTerms) -> _Decision:
        repository = await self._repositories.find(terms.repository)
        pool = await self._vms.find_pool(terms.placement.pool)
        subject = f"restorePoints/{terms.point_id}"
        task = Task(run.run_id, self._ids.new(), 0, subject, terms.display_name, pool.rpartition("/")[2])
        placement = replace(terms.placement, pool=pool)
        decided = replace(terms, repository=repository.name, site=repository.site, placement=placement)
        return _Decision(decided, (task,))


def _vm_not_found(reference: str) -> Failure:
    return Failure(
        "NotFound",
        "VM_NOT_FOUND",
        f"The policy names {reference!r}, and there is no such VM.",
        "Take it out of the policy, or correct its name.",
    )
