"""What the scheduler needs from the world."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Protocol

from services.scheduler.domain.facts import Fact
from services.scheduler.domain.notes import Failure
from services.scheduler.domain.policy import Policy
from services.scheduler.domain.pool_metadata import PoolRef
from services.scheduler.domain.run import Run
from services.scheduler.domain.selection import Vm


class Policies(Protocol):
    """The policies, by id."""

    async def get(self, policy_id: str) -> Policy | None: ...

    async def page(self, after: str, size: int) -> Sequence[Policy]:
        """The first ``size`` by id whose id is greater than ``after``."""
        ...

    async def due(self, now: datetime) -> Sequence[Policy]:
        """Those with ``next_run_time <= now``, the longest overdue first."""
        ...

    async def next_run_time(self) -> datetime | None:
        """The earliest of all; None when nothing runs by itself."""
        ...

    async def put(self, policy: Policy) -> None:
        """Keep it, in place of the one with its id."""
        ...

    async def delete(self, policy_id: str) -> None: ...


class Runs(Protocol):
    """The runs with their tasks."""

    async def get(self, run_id: str) -> Run | None: ...

    async def ids_starting_with(self, prefix: str) -> Sequence[str]:
        """At most two of the ids that begin so."""
        ...

    async def of_request(self, request_id: str) -> Run | None: ...

    async def of_transfer(self, transfer_id: str) -> Run | None:
        """The run one of whose tasks has this as its current or last transfer."""
        ...

    async def active_of_policy(self, policy_id: str) -> Run | None:
        """The one that has not ended."""
        ...

    async def under_way(self) -> Sequence[Run]:
        """All that have not ended, the oldest first."""
        ...

    async def page(self, before: tuple[datetime, str] | None, size: int) -> Sequence[Run]:
        """Newest first (create_time, then id, descending), those after ``before``; without their tasks."""
        ...

    async def put(self, run: Run) -> None:
        """Keep it, in place of the one with its id."""
        ...


class Work(Protocol):
    """A unit of work: what is put and told in it happens together, or none of it does."""

    @property
    def policies(self) -> Policies: ...

    @property
    def runs(self) -> Runs: ...

    async def tell(self, fact: Fact) -> None:
        """Hand the fact to whom it concerns: once after the commit, however often we are killed."""
        ...


class Ledger(Protocol):
    """The scheduler's store. Units that write run one after the other, over all instances."""

    def writing(self) -> AbstractAsyncContextManager[Work]:
        """Commits at the end; rolls back when the block raises. Reads in it see no half-done neighbour."""
        ...

    def reading(self) -> AbstractAsyncContextManager[Work]:
        """For looking only."""
        ...


class Ear(Protocol):
    """One listener."""

    async def next(self) -> None:
        """Return at the next change; at once when there was one since the last call. May be cancelled."""
        ...


class Changes(Protocol):
    """Wakes whoever waits for a change of the ledger by this process. A hint: it may wake for nothing."""

    def listen(self) -> AbstractContextManager[Ear]:
        """Changes since entering are heard."""
        ...


@dataclass(frozen=True, slots=True)
class Repository:
    """``name`` is ``repositories/{repository}``; movers of ``site`` reach it."""

    name: str
    display_name: str
    site: str


@dataclass(frozen=True, slots=True)
class RestorePoint:
    """``damage`` says what is wrong with it; empty when nothing is known to be."""

    point_id: str
    display_name: str
    repository: str
    pool_id: str
    damage: str = ""


class Vms(Protocol):
    """The hypervisor service's inventory."""

    async def list_vms(self, pool: str) -> Sequence[Vm]:
        """All VMs and own templates of the pool (name or UUID), of all pools when empty.

        Raises NotFound for an unknown pool, Unavailable or DeadlineExceeded when there is no answer.
        """
        ...

    async def find_pool(self, reference: str) -> str:
        """``pools/{pool}`` for a name, a UUID or itself. Raises as ``list_vms``."""
        ...

    async def list_pools(self) -> Sequence[PoolRef]:
        """All pools. Raises Unavailable or DeadlineExceeded when there is no answer."""
        ...


class Repositories(Protocol):
    """The repositories movers know."""

    async def find(self, reference: str) -> Repository:
        """By ``repositories/{repository}`` or display name.

        Raises NotFound, or Unavailable or DeadlineExceeded when there is no answer.
        """
        ...


class Outcome(Enum):
    """Where a transfer stands, as its mover keeps it."""

    UNDER_WAY = "under way"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Report:
    """``result`` is the mover's answer when SUCCEEDED, ``failure`` is there when FAILED."""

    outcome: Outcome
    result: bytes = b""
    failure: Failure | None = None


class Reports(Protocol):
    """What movers know of transfers, for when their events stay away."""

    async def find(self, transfer_id: str) -> Report | None:
        """None when they do not know it. Raises Unavailable or DeadlineExceeded."""
        ...


class RestorePoints(Protocol):
    """The catalog."""

    async def find(self, reference: str) -> RestorePoint:
        """By UUID or the beginning of it. Raises NotFound, Unavailable or DeadlineExceeded."""
        ...
