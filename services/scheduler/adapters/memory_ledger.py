"""A ledger in memory, for tests: the same law as the one in SQL, and it remembers what was told."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime

from services.scheduler.domain.facts import Fact
from services.scheduler.domain.policy import Policy
from services.scheduler.domain.run import Run


@dataclass
class MemoryPolicies:
    """``ports.Policies``."""

    kept: dict[str, Policy] = field(default_factory=dict)

    async def get(self, policy_id: str) -> Policy | None:
        return self.kept.get(policy_id)

    async def page(self, after: str, size: int) -> Sequence[Policy]:
        return [self.kept[each] for each in sorted(self.kept) if each > after][:size]

    async def due(self, now: datetime) -> Sequence[Policy]:
        waiting = [(p.next_run_time, p.policy_id) for p in self.kept.values() if p.next_run_time]
        return [self.kept[policy_id] for moment, policy_id in sorted(waiting) if moment <= now]

    async def next_run_time(self) -> datetime | None:
        return min((p.next_run_time for p in self.kept.values() if p.next_run_time), default=None)

    async def put(self, policy: Policy) -> None:
        self.kept[policy.policy_id] = policy

    async def delete(self, policy_id: str) -> None:
        self.kept.pop(policy_id, None)


@dataclass
class MemoryRuns:
    """``ports.Runs``."""

    kept: dict[str, Run] = field(default_factory=dict)

    async def get(self, run_id: str) -> Run | None:
        return self.kept.get(run_id)

    async def ids_starting_with(self, prefix: str) -> Sequence[str]:
        return [run_id for run_id in self.kept if run_id.startswith(prefix)][:2]

    async def of_request(self, request_id: str) -> Run | None:
        return next((run for run in self.kept.values() if run.request_id == request_id), None)

    async def of_transfer(self, transfer_id: str) -> Run | None:
        runs = self.kept.values()
        return next((r for r in runs if any(t.transfer_id == transfer_id for t in r.tasks)), None)

    async def active_of_policy(self, policy_id: str) -> Run | None:
        return next((run for run in await self.under_way() if run.policy_id == policy_id), None)

    async def under_way(self) -> Sequence[Run]:
        return sorted((run for run in self.kept.values() if not run.state.ended), key=_age)

    async def page(self, before: tuple[datetime, str] | None, size: int) -> Sequence[Run]:
        newest_first = sorted(self.kept.values(), key=_age, reverse=True)
        wanted = [run for run in newest_first if before is None or _age(run) < before]
        return [replace(run, tasks=()) for run in wanted[:size]]

    async def put(self, run: Run) -> None:
        self.kept[run.run_id] = run


@dataclass
class MemoryWork:
    """``ports.Work`` on copies, which become the truth at the commit."""

    policies: MemoryPolicies
    runs: MemoryRuns
    told: list[Fact] = field(default_factory=list)

    async def tell(self, fact: Fact) -> None:
        self.told.append(fact)


class MemoryLedger:
    """``ports.Ledger``. ``told`` is what was told, in order."""

    def __init__(self) -> None:
        self.policies = MemoryPolicies()
        self.runs = MemoryRuns()
        self.told: list[Fact] = []
        self._writer = asyncio.Lock()

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[MemoryWork]:
        async with self._writer:
            work = self._copy()
            yield work
            self.policies, self.runs = work.policies, work.runs
            self.told += work.told

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[MemoryWork]:
        yield self._copy()

    def _copy(self) -> MemoryWork:
        return MemoryWork(MemoryPolicies(dict(self.policies.kept)), MemoryRuns(dict(self.runs.kept)))


def _age(run: Run) -> tuple[datetime, str]:
    return run.create_time, run.run_id
