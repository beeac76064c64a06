"""The inside of the hypervisor service on a pool in memory and a real store, to be killed at any step."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from services.chassis.clock import Clock, SystemClock
from services.chassis.config import Secret
from services.chassis.errors import Unavailable
from services.chassis.sealing import Sealer
from services.chassis.sql import Database
from services.hypervisor.adapters.memory_pool import MemoryPool
from services.hypervisor.adapters.no_agents import NoAgents
from services.hypervisor.adapters.sql_groups import SqlGroups
from services.hypervisor.adapters.sql_hindered import SqlHindered
from services.hypervisor.adapters.sql_interventions import SqlInterventions
from services.hypervisor.adapters.sql_pools import SqlPools
from services.hypervisor.adapters.sql_sources import SqlSources
from services.hypervisor.adapters.sql_targets import SqlTargets
from services.hypervisor.app.captures import Captures
from services.hypervisor.app.care import Care
from services.hypervisor.app.janitor import Bell, Janitor
from services.hypervisor.app.pools import Pools, Vms
from services.hypervisor.app.shares import Shares
from services.hypervisor.app.sources import Sources
from services.hypervisor.app.steps import nobody
from services.hypervisor.app.switched_off import SwitchedOff
from services.hypervisor.app.targets import Targets
from services.hypervisor.domain.capture import Hook
from services.hypervisor.domain.care import CareLimits
from services.hypervisor.domain.pool import Certificate, Pool
from services.hypervisor.ports.guests import GuestAgents, Hooks
from services.hypervisor.ports.pool import Introduction, PoolConnection

POOL_ID = "aaaaaaaa-0000-4000-8000-000000000000"


_NO_CALLS = frozenset(
    {
        "watch",
        "learn",
        "members",
        "close",
        "pictures",
        "picture",
        "has_virtual_tpm",
        "archived_snapshots",
        "part_of",
    }
)
"""What a pool is not asked for."""


class Killed(BaseException):
    """Nothing catches it, as nothing catches SIGKILL."""


class Faults:
    """Strikes once: at the n-th step, or at the n-th call to the pool, before or after it is executed."""

    KINDS = ("killed", "failed before", "failed after")

    def __init__(self, pool: MemoryPool) -> None:
        self._pool = pool
        self._kind, self._left = "", 0
        self.struck = False

    def arm(self, kind: str, at: int) -> None:
        self._kind, self._left, self.struck = kind, at, False

    def disarm(self) -> None:
        self._kind = ""

    def passed(self, step: str) -> None:
        if self._kind == "killed" and self._due():
            raise Killed(step)

    def __getattr__(self, name: str) -> Any:
        """As a pool: what the real one has."""
        method = getattr(self._pool, name)
        if name in _NO_CALLS:
            return method

        async def call(*args: Any, **kwargs: Any) -> Any:
            fails = self._kind.startswith("failed") and self._due()
            if not fails or self._kind == "failed after":
                result = await method(*args, **kwargs)
            if fails:
                raise Unavailable(f"The connection broke at {name}.", reason="POOL_OUTCOME_UNKNOWN")
            return result

        return call

    def _due(self) -> bool:
        self._left -= 1
        self.struck = self.struck or not self._left
        return not self._left


class MemoryGateway:
    """``PoolGateway`` to one pool."""

    def __init__(self, connection: PoolConnection) -> None:
        self._connection = connection

    async def probe(self, address: str) -> Certificate:
        raise Unavailable(f"Nobody is at {address}.", reason="POOL_UNREACHABLE")

    async def introduce(
        self, address: str, username: str, password: Secret, certificate_sha256: str
    ) -> tuple[Introduction, int]:
        return Introduction(POOL_ID, "Memory", "Fake 1.0", "host-1", (), ()), 443

    def connect(self, pool: Pool, password: Secret) -> PoolConnection:
        return self._connection


class NoHooks:
    """``Hooks`` of a house that has none."""

    async def call(self, hook: Hook, body: dict[str, str]) -> str:
        raise AssertionError("nobody asked for a hook")


@dataclass
class House:
    """The use cases, wired as ``__main__`` wires them."""

    database: Database
    pools: Pools
    vms: Vms
    sources: Sources
    targets: Targets
    janitor: Janitor
    source_store: SqlSources
    target_store: SqlTargets
    care: Care
    switched_off: SwitchedOff


@asynccontextmanager
async def house(
    directory: Path,
    pool: "MemoryPool | Faults",
    passed: Callable[[str], None] = nobody,
    clock: Clock | None = None,
    hooks: Hooks | None = None,
    agents: GuestAgents | None = None,
) -> AsyncIterator[House]:
    """What is stored in ``directory`` is there again the next time. The pool is added when it is new."""
    clock = clock or SystemClock()
    connection = cast(PoolConnection, pool)
    sealer = Sealer(directory / "sealing.key")
    url = f"sqlite+aiosqlite:///{directory / 'hypervisor.sqlite'}"
    async with Database(url, "hypervisor", "services.hypervisor.migrations") as database:
        source_store, target_store = SqlSources(database, sealer), SqlTargets(database, sealer)
        bell = Bell()
        stirred, halted, pool_store = Bell(), Bell(), SqlPools(database, sealer)
        gateway = MemoryGateway(connection)
        async with Pools(pool_store, gateway, clock, bell.ring, stirred.ring, halted.ring) as pools:
            if not pools.all():
                await pool.pictures.put(pool.picture())
                await pools.add("host-1", "root", Secret("secret"), "00")
            agents = agents or NoAgents()
            captures = Captures(SqlInterventions(database, sealer), hooks or NoHooks(), agents, passed)
            shares = Shares(source_store, 12, clock)
            care = Care(pools, SqlHindered(database), shares, CareLimits(), clock, stirred)
            sources = Sources(source_store, SqlGroups(database), captures, care, pools, clock, passed)
            targets = Targets(target_store, pools, clock, passed)
            janitor = Janitor(pools, sources, targets, source_store, target_store, clock, bell)
            stores = (source_store, target_store)
            off = SwitchedOff(pools, sources, source_store, halted)
            yield House(database, pools, Vms(pools, agents), sources, targets, janitor, *stores, care, off)
