"""Starting a run: by a policy, by hand, or to restore."""

from dataclasses import replace

from services.chassis.clock import Clock
from services.chassis.errors import (
    AlreadyExists,
    DeadlineExceeded,
    FailedPrecondition,
    InvalidInput,
    Unavailable,
)
from services.chassis.ids import IdSource
from services.scheduler.app.policies import known
from services.scheduler.app.record import record
from services.scheduler.domain.capture import complaints
from services.scheduler.domain.groups import Grouping
from services.scheduler.domain.policy import MOST_NAMES, Selector
from services.scheduler.domain.run import (
    BackupRun,
    BackupTerms,
    PolicyRun,
    RestoreRun,
    RestoreTerms,
    Run,
    RunSpec,
    Terms,
)
from services.scheduler.domain.selection import check_by_hand
from services.scheduler.domain.terms import terms_of_policy
from services.scheduler.ports import Ledger, Repositories, RestorePoints, Vms, Work


class Starting:
    """Creates runs. They are PENDING: what they do is decided by a worker that survives us."""

    def __init__(
        self,
        ledger: Ledger,
        vms: Vms,
        repositories: Repositories,
        points: RestorePoints,
        clock: Clock,
        ids: IdSource,
    ) -> None:
        self._ledger, self._vms, self._repositories, self._points = ledger, vms, repositories, points
        self._clock, self._ids = clock, ids

    async def create(self, spec: RunSpec, request_id: str) -> Run:
        """Raises InvalidInput, NotFound for what it names, and FailedPrecondition RUN_ALREADY_ACTIVE or
        RESTORE_POINT_DAMAGED. The same ``request_id`` gives the same run.
        """
        async with self._ledger.reading() as work:
            if run := await self._repeated(work, spec, request_id):
                return run
        terms = await self._terms_by_hand(spec)
        async with self._ledger.writing() as work:
            if run := await self._repeated(work, spec, request_id):
                return run
            if isinstance(spec, PolicyRun):
                terms = await _terms_of_policy_run(work, spec)
            assert terms is not None
            run = Run(self._ids.new(), spec, terms, self._clock.now(), request_id=request_id)
            await record(work, None, run)
            return run

    async def _repeated(self, work: Work, spec: RunSpec, request_id: str) -> Run | None:
        run = await work.runs.of_request(request_id) if request_id else None
        if run is not None and run.spec != spec:
            raise AlreadyExists(
                f"The request id {request_id} was used for another run already.",
                reason="REQUEST_ID_REUSED",
                hint="Use a new request id for a new run.",
                metadata={"run": f"runs/{run.run_id}"},
            )
        return run

    async def _terms_by_hand(self, spec: RunSpec) -> Terms | None:
        match spec:
            case PolicyRun():
                return None
            case BackupRun():
                return await self._terms_of_backup(spec)
            case RestoreRun():
                return await self._terms_of_restore(spec)

    async def _terms_of_backup(self, spec: BackupRun) -> BackupTerms:
        names = (*spec.vms, *(spec.pool_metadata.pools if spec.pool_metadata else ()))
        if not 0 < len(names) <= MOST_NAMES or not all(names) or not spec.repository:
            raise InvalidInput(
                f"A backup by hand must name 1 to {MOST_NAMES} VMs or pools and a repository.",
                reason="BACKUP_INVALID",
                hint="Name VMs, or pools for their metadata, and the repository to back up to.",
            )
        wrong = dict(complaints(spec.capture, spec.method.value))
        if wrong:
            raise InvalidInput(
                "The backup cannot be made so: " + "; ".join(f"{k} {v}" for k, v in wrong.items()) + ".",
                reason="BACKUP_INVALID",
                hint="Correct these options and try again.",
                metadata=wrong,
            )
        terms = BackupTerms(
            Selector(vms=spec.vms),
            spec.repository,
            spec.method,
            spec.full,
            capture=spec.capture,
            grouping=Grouping(everything=spec.group),
            pool_metadata=spec.pool_metadata,
        )
        try:
            await self._repositories.find(spec.repository)
            check_by_hand(terms.selector, await self._vms.list_vms(""))
            for pool in spec.pool_metadata.pools if spec.pool_metadata else ():
                await self._vms.find_pool(pool)
        except (Unavailable, DeadlineExceeded):
            pass  # the worker asks again, and the run says what it waits for
        return terms

    async def _terms_of_restore(self, spec: RestoreRun) -> RestoreTerms:
        point = await self._points.find(spec.point)
        if point.damage:
            of_vm = f" of {point.display_name}" if point.display_name else ""
            raise FailedPrecondition(
                f"The restore point {point.point_id}{of_vm} is damaged: {point.damage}",
                reason="RESTORE_POINT_DAMAGED",
                hint="Restore another point of this VM, and verify the repository.",
                metadata={"restore_point": f"restorePoints/{point.point_id}"},
            )
        placement = replace(spec.placement, pool=spec.placement.pool or f"pools/{point.pool_id}")
        return RestoreTerms(point.point_id, point.display_name, point.repository, placement)


async def _terms_of_policy_run(work: Work, spec: PolicyRun) -> Terms:
    policy = known(await work.policies.get(spec.policy_id), spec.policy_id)
    if active := await work.runs.active_of_policy(policy.policy_id):
        raise FailedPrecondition(
            f"The policy {policy.policy_id} is being executed already, by run {active.run_id}.",
            reason="RUN_ALREADY_ACTIVE",
            hint="Wait until it has ended, or cancel it.",
            metadata={"run": f"runs/{active.run_id}"},
        )
    return terms_of_policy(policy, spec.full)
