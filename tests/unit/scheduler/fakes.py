"""Neighbours in memory, and a scheduler put together on them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from services.chassis.bell import Bell
from services.chassis.clock import FakeClock
from services.chassis.errors import NotFound, Unavailable, XenkeepError
from services.chassis.ids import SequentialIds
from services.scheduler.adapters.memory_ledger import MemoryLedger
from services.scheduler.app.dispatching import Dispatching
from services.scheduler.app.firing import Firing
from services.scheduler.app.policies import PolicyBook
from services.scheduler.app.runs import RunBook
from services.scheduler.app.selecting import Selecting
from services.scheduler.app.starting import Starting
from services.scheduler.app.transfers import Transfers
from services.scheduler.app.watchdog import Watchdog
from services.scheduler.domain.admission import Defaults
from services.scheduler.domain.facts import Fact, TransferWanted
from services.scheduler.domain.notes import Failure
from services.scheduler.domain.policy import Policy, Selector
from services.scheduler.domain.pool_metadata import PoolRef
from services.scheduler.domain.run import Run
from services.scheduler.domain.selection import Vm
from services.scheduler.ports import Report, Repository, RestorePoint

START = datetime(2026, 1, 1, tzinfo=UTC)


def vm(name: str, *, pool: str = "p1", host: str = "h1", tags: Sequence[str] = ()) -> Vm:
    return Vm(f"pools/{pool}/vms/uuid-{name}", name, host, frozenset(tags))


@dataclass
class FakeVms:
    vms: list[Vm] = field(default_factory=list)
    trouble: Exception | None = None

    async def list_vms(self, pool: str) -> Sequence[Vm]:
        self._maybe_raise()
        parent = await self.find_pool(pool) if pool else ""
        return [vm for vm in self.vms if not parent or vm.name.startswith(f"{parent}/")]

    async def find_pool(self, reference: str) -> str:
        self._maybe_raise()
        pool_id = reference.removeprefix("pools/")
        if pool_id not in {vm.pool_id for vm in self.vms}:
            raise NotFound(f"There is no pool {reference}.", reason="POOL_NOT_FOUND")
        return f"pools/{pool_id}"

    async def list_pools(self) -> Sequence[PoolRef]:
        self._maybe_raise()
        return [PoolRef(f"pools/{id_}", f"pool {id_}") for id_ in sorted({vm.pool_id for vm in self.vms})]

    def _maybe_raise(self) -> None:
        if self.trouble:
            raise self.trouble


@dataclass
class FakeRepositories:
    known: list[Repository] = field(default_factory=lambda: [Repository("repositories/r1", "main", "berlin")])
    trouble: XenkeepError | None = None

    async def find(self, reference: str) -> Repository:
        if self.trouble:
            raise self.trouble
        for repository in self.known:
            if reference in (repository.name, repository.display_name):
                return repository
        raise NotFound(f"There is no repository {reference}.", reason="REPOSITORY_NOT_FOUND")


@dataclass
class FakePoints:
    known: dict[str, RestorePoint] = field(default_factory=dict)

    async def find(self, reference: str) -> RestorePoint:
        if point := self.known.get(reference):
            return point
        raise NotFound(f"There is no restore point {reference}.", reason="RESTORE_POINT_NOT_FOUND")


@dataclass
class FakeReports:
    known: dict[str, Report] = field(default_factory=dict)
    trouble: XenkeepError | None = None

    async def find(self, transfer_id: str) -> Report | None:
        if self.trouble:
            raise self.trouble
        return self.known.get(transfer_id)


def down(who: str = "The hypervisor service") -> Unavailable:
    return Unavailable(f"{who} cannot be reached.", reason="GRPC_UNAVAILABLE")


class World:
    """Everything of the scheduler, in memory, standing still until a test moves it."""

    def __init__(self, *vms: Vm, defaults: Defaults | None = None) -> None:
        self.clock = FakeClock(START)
        self.ids = SequentialIds()
        self.ledger = MemoryLedger()
        self.bell = Bell()
        self.vms = FakeVms(list(vms))
        self.repositories = FakeRepositories()
        self.points = FakePoints()
        self.reports = FakeReports()
        common = (self.ledger, self.vms, self.repositories)
        self.policies = PolicyBook(*common, self.clock, self.ids)
        self.starting = Starting(*common, self.points, self.clock, self.ids)
        self.runs = RunBook(self.ledger, self.bell, self.clock)
        self.selecting = Selecting(*common, self.clock, self.ids, patience=timedelta(minutes=30))
        self.dispatching = Dispatching(self.ledger, self.clock, self.ids, defaults or Defaults())
        self.firing = Firing(self.ledger, self.clock, self.ids)
        self.transfers = Transfers(self.clock)
        self.watchdog = Watchdog(
            self.ledger, self.reports, self.clock, silence=timedelta(minutes=15), every=timedelta(minutes=1)
        )

    async def policy(self, policy_id: str = "nightly", **changes: object) -> Policy:
        fields: dict[str, object] = {"selector": Selector(all=True), "repository": "main"} | changes
        return await self.policies.create(Policy(policy_id, **fields))  # type: ignore[arg-type]

    async def settle(self) -> None:
        """Select and dispatch what can be."""
        await self.selecting.round()
        await self.dispatching.round()

    def run(self, run_id: str) -> Run:
        return self.ledger.runs.kept[run_id]

    def wanted(self) -> list[str]:
        """Ids of the transfers given to movers, in order."""
        return [fact.task.transfer_id for fact in self.ledger.told if isinstance(fact, TransferWanted)]

    def told(self, kind: type[Fact]) -> list[Fact]:
        return [fact for fact in self.ledger.told if isinstance(fact, kind)]

    async def finish(self, transfer_id: str, result: bytes = b"") -> None:
        async with self.ledger.writing() as work:
            await self.transfers.finished(work, transfer_id, result)

    async def fail(self, transfer_id: str, failure: Failure, *, retryable: bool = True) -> None:
        async with self.ledger.writing() as work:
            await self.transfers.failed(work, transfer_id, failure, retryable=retryable)
