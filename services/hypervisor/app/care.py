"""Regard for the pool: a snapshot it cannot bear now is refused, and it is told when it can.

Which VMs were refused is known in memory only: after a restart of this service the scheduler, which tries
again by itself from time to time, is told of them anew.
"""

from collections import defaultdict
from collections.abc import Collection
from typing import Protocol

import structlog

from services.chassis.clock import Clock
from services.chassis.errors import NotFound, ResourceExhausted, XenkeepError
from services.hypervisor.app.pools import Pools
from services.hypervisor.app.shares import Endpoints, Shares
from services.hypervisor.domain.care import CareLimits, Hindrance, hindrance
from services.hypervisor.domain.events import SnapshotHindered, SnapshotPossible
from services.hypervisor.domain.source import Source
from services.hypervisor.ports.pool import PoolConnection
from services.hypervisor.ports.stores import PoolStore

SETTLE_S = 1.0
"""Pools tell of their storage often while they coalesce: it is looked at no more than so often."""
REST = 9.0
"""Looking after many hindered VMs may take a tenth of the time and no more."""

_NO_ROOM = Hindrance(
    "NBD_CONNECTIONS_SPENT",
    "All NBD connections of the pool's hosts that backups may use are in use.",
    "Wait until other backups have ended, or let fewer run at once.",
)

_log = structlog.get_logger()


class Wake(Protocol):
    """What rings when a pool's storage moved or a source was closed (``app.janitor.Bell``)."""

    def ring(self, pool_id: str) -> None: ...

    async def wait(self) -> None: ...

    def pools(self) -> set[str]: ...


class Care:
    """Refuses, and looks again whenever ``bell`` rings."""

    def __init__(
        self, pools: Pools, store: PoolStore, shares: Shares, limits: CareLimits, clock: Clock, bell: Wake
    ) -> None:
        self._pools = pools
        self._store = store
        self._shares = shares
        self._limits = limits
        self._clock = clock
        self._bell = bell
        self._hindered: dict[str, dict[str, frozenset[str]]] = defaultdict(dict)

    async def assert_possible(
        self, connection: PoolConnection, source: Source, left_out: Collection[str]
    ) -> None:
        """Raises ResourceExhausted DISK_CHAIN_LONG, SR_COALESCING, SR_SPACE_LOW, NBD_CONNECTIONS_SPENT."""
        found = await self._hindrance(connection, source.pool_id, source.vm_id, left_out, source.source_id)
        if found is None:
            self._hindered[source.pool_id].pop(source.vm_id, None)
            return
        if source.vm_id not in self._hindered[source.pool_id]:
            await self._tell(source.pool_id, source.vm_id, found)
        self._hindered[source.pool_id][source.vm_id] = frozenset(left_out)
        raise ResourceExhausted(found.message, reason=found.reason, hint=found.hint)

    async def share(self, source: Source, wanted: int, endpoints: Endpoints) -> Endpoints:
        """See ``Shares.of``."""
        return await self._shares.of(source.pool_id, source.source_id, wanted, endpoints)

    def freed(self, pool_id: str) -> None:
        """A source was closed: its share is free."""
        self._bell.ring(pool_id)

    async def run(self) -> None:
        """For ever."""
        took_s = 0.0
        while True:
            await self._bell.wait()
            await self._clock.sleep(max(SETTLE_S, took_s * REST))
            began = self._clock.monotonic()
            for pool_id in self._bell.pools():
                await self.look(pool_id)
            took_s = self._clock.monotonic() - began

    async def look(self, pool_id: str) -> None:
        """Tells of each VM whose hindrance is over."""
        for vm_id, left_out in list(self._hindered[pool_id].items()):
            try:
                connection = self._pools.connection(pool_id)
                if await self._hindrance(connection, pool_id, vm_id, left_out, ""):
                    continue
            except NotFound:
                pass  # the next try says that it is gone
            except XenkeepError as error:
                _log.warning("a hindered VM could not be looked at", vm=vm_id, reason=error.reason)
                continue
            del self._hindered[pool_id][vm_id]
            await self._tell(pool_id, vm_id, None)

    async def _hindrance(
        self,
        connection: PoolConnection,
        pool_id: str,
        vm_id: str,
        left_out: Collection[str],
        source_id: str,
    ) -> Hindrance | None:
        found = hindrance(await connection.snapshot_facts(vm_id, left_out), self._limits)
        if found is not None:
            return found
        hosts = await connection.reading_hosts()
        return None if await self._shares.room_left(pool_id, source_id, hosts) else _NO_ROOM

    async def _tell(self, pool_id: str, vm_id: str, found: Hindrance | None) -> None:
        watch = self._pools.find(pool_id)
        vm = watch.picture.vms.get(vm_id)
        if vm is None:
            return
        hindered = SnapshotHindered(vm, found.reason, found.message) if found else None
        await self._store.tell(watch.pool, (hindered or SnapshotPossible(vm),))
