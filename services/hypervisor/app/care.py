"""Regard for the pool: a snapshot it cannot bear now is refused, and it is told when it can.

Which VMs were refused is stored with what is told of them: after a crash they are looked at as soon as their
pool answers again.
"""

from collections.abc import Collection
from typing import Protocol

import structlog

from services.chassis.clock import Clock
from services.chassis.errors import NotFound, ResourceExhausted, XenkeepError
from services.hypervisor.app.pool_watch import PoolWatch
from services.hypervisor.app.pools import Pools
from services.hypervisor.app.shares import Endpoints, Shares
from services.hypervisor.domain.care import CareLimits, Hindered, Hindrance, hindrance
from services.hypervisor.domain.events import SnapshotHindered, SnapshotPossible
from services.hypervisor.domain.source import Source
from services.hypervisor.ports.pool import PoolConnection
from services.hypervisor.ports.stores import HinderedStore

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
    """What rings when a pool answers, its storage moved or a source was closed (``app.janitor.Bell``)."""

    def ring(self, pool_id: str) -> None: ...

    async def wait(self) -> None: ...

    def pools(self) -> set[str]: ...


class Care:
    """Refuses, and looks again whenever ``bell`` rings."""

    def __init__(
        self, pools: Pools, store: HinderedStore, shares: Shares, limits: CareLimits, clock: Clock, bell: Wake
    ) -> None:
        self._pools = pools
        self._store = store
        self._shares = shares
        self._limits = limits
        self._clock = clock
        self._bell = bell

    async def assert_possible(
        self, connection: PoolConnection, source: Source, left_out: Collection[str]
    ) -> None:
        """Raises ResourceExhausted VM_MIGRATING, DISK_CHAIN_LONG, SR_COALESCING, SR_SPACE_LOW,
        NBD_CONNECTIONS_SPENT."""
        found = await self._hindrance(connection, source.pool_id, source.vm_id, left_out, source.source_id)
        watch = self._pools.find(source.pool_id)
        if found is None:
            if source.vm_id in {each.vm_id for each in await self._store.of(source.pool_id)}:
                await self._store.forget(watch.pool, source.vm_id)
            return
        vm = watch.picture.vms.get(source.vm_id)
        told = (SnapshotHindered(vm, found.reason, found.message),) if vm else ()
        await self._store.note(watch.pool, Hindered(source.vm_id, tuple(sorted(left_out))), told)
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
                try:
                    await self.look(pool_id)
                except XenkeepError as error:  # our own store is away: what is kept there is not lost
                    _log.warning("hindered VMs not looked at", pool=pool_id, reason=error.reason)
                    self._bell.ring(pool_id)
            took_s = self._clock.monotonic() - began

    async def look(self, pool_id: str) -> None:
        """Tells of each VM whose hindrance is over."""
        try:
            watch = self._pools.find(pool_id)
        except NotFound:
            return  # removed, and what was kept of it
        for hindered in await self._store.of(pool_id):
            if await self._is_over(watch, hindered):
                vm = watch.picture.vms.get(hindered.vm_id)
                await self._store.forget(watch.pool, hindered.vm_id, (SnapshotPossible(vm),) if vm else ())

    async def _is_over(self, watch: PoolWatch, hindered: Hindered) -> bool:
        pool_id, vm_id = watch.pool.pool_id, hindered.vm_id
        try:
            return not await self._hindrance(watch.connection, pool_id, vm_id, hindered.left_out, "")
        except NotFound:
            return True  # the next try says that it is gone
        except XenkeepError as error:
            _log.warning("a hindered VM could not be looked at", vm=vm_id, reason=error.reason)
            return False

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
