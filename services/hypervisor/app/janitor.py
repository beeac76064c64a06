"""Finishing what was begun and removing what was left behind.

Only ids of ours are touched: those in our store, and those whose objects prove to be of this installation (a
store that was lost). Anything else that looks like ours belongs to another Xenkeep and is only told of.
"""

import asyncio
from collections.abc import Awaitable
from datetime import timedelta

import structlog

from services.chassis.clock import Clock
from services.chassis.errors import XenkeepError
from services.hypervisor.app.pools import Pools
from services.hypervisor.app.sources import Sources
from services.hypervisor.app.targets import Targets
from services.hypervisor.domain.source import Source, SourceState
from services.hypervisor.domain.target import TargetState
from services.hypervisor.ports.pool import PoolConnection
from services.hypervisor.ports.stores import SourceStore, TargetStore

ROUND_S = 60.0
"""Also how soon the writing of a disk is noted; the pool forgets it after 65 minutes."""
SEARCH_EVERY = 5
SETTLE_S = 1.0
"""From being told of an event until its transaction is certainly committed."""
UNKNOWN_GRACE = timedelta(hours=1)
ABANDONED_AFTER = timedelta(days=7)
RESERVED_FOR = timedelta(days=1)
"""A member of a group whose own transfer has not opened it by then is not going to be."""
TRACKING_KEPT = timedelta(days=100)
DATA_KEPT = timedelta(days=35)
"""How long what the next incremental starts from waits for it; a whole snapshot costs space."""

_log = structlog.get_logger()


class Bell:
    """Wakes the janitor: a pool answers again, or something of one has to be finished."""

    def __init__(self) -> None:
        self._pools: set[str] = set()
        self._rung = asyncio.Event()

    def ring(self, pool_id: str) -> None:
        self._pools.add(pool_id)
        self._rung.set()

    async def wait(self) -> None:
        await self._rung.wait()

    def pools(self) -> set[str]:
        """For which pools it rang since it was last asked."""
        self._rung.clear()
        pools, self._pools = self._pools, set()
        return pools


class Janitor:
    """Goes round all pools, and soon round those the bell rings for."""

    def __init__(
        self,
        pools: Pools,
        sources: Sources,
        targets: Targets,
        source_store: SourceStore,
        target_store: TargetStore,
        clock: Clock,
        bell: Bell,
    ) -> None:
        self._pools = pools
        self._sources = sources
        self._targets = targets
        self._source_store = source_store
        self._target_store = target_store
        self._clock = clock
        self._bell = bell
        self._unknown_since: dict[str, float] = {}

    async def run(self) -> None:
        """For ever."""
        rounds = 0
        while True:
            try:
                await self._clock.wait(self._bell.wait(), ROUND_S)
                await self._clock.sleep(SETTLE_S)
            except TimeoutError:
                rounds += 1
            woken = self._bell.pools()
            for watch in self._pools.all():
                pool_id = watch.pool.pool_id
                if not woken or pool_id in woken:
                    search = bool(woken) or rounds % SEARCH_EVERY == 0
                    await self.clean(pool_id, search=search)

    async def clean(self, pool_id: str, *, search: bool) -> None:
        """One round of one pool; ``search`` also looks for leftovers nothing is known of."""
        for source in await self._source_store.unfinished(pool_id):
            if self._sources.busy(source.source_id):
                continue
            patience = RESERVED_FOR if source.reserved else ABANDONED_AFTER
            abandoned = self._clock.now() - source.created > patience
            if source.state is SourceState.CLOSING or abandoned:
                await self._try(
                    "close a backup source", self._sources.close(pool_id, source.source_id, False)
                )
            else:
                await self._try("put a VM right", self._sources.settle(pool_id, source.source_id))
                if self._pools.find(pool_id).is_off(source.vm_id):
                    still = self._sources.keep_still(pool_id, source.source_id)
                    await self._try("keep a VM where it is", still)
        for target in await self._target_store.unfinished(pool_id):
            if target.state is TargetState.PREPARED:
                await self._try("note what is written", self._targets.note_written(pool_id, target.target_id))
            elif target.state is TargetState.COMMITTING:
                await self._try("commit a restore", self._targets.commit(pool_id, target.target_id))
            abandoned = self._clock.now() - target.created > ABANDONED_AFTER
            if target.state is TargetState.ABORTING or (
                abandoned and target.state is not TargetState.COMMITTING
            ):
                await self._try("abort a restore", self._targets.abort(pool_id, target.target_id))
        if search:
            await self._try("look for leftovers", self._search(pool_id))

    async def _search(self, pool_id: str) -> None:
        connection = self._pools.connection(pool_id)
        left = await connection.leftovers()
        for source_id in sorted(left.source_ids):
            source = await self._source_store.get(source_id)
            if source is None and not self._may_remove_unknown(source_id, source_id in left.own_ids):
                continue
            if source is None or source.state is SourceState.CLOSED:
                _log.warning("removing a leftover snapshot", pool=pool_id, source=source_id)
                await self._remove_snapshot(connection, source_id, source)
        for target_id in sorted(left.target_ids):
            await self._remove_target(connection, target_id, target_id in left.own_ids)
        await self._allow_migrations(pool_id, connection)
        removed = await connection.remove_orphans()
        if removed:
            _log.info("removed tracking data of disks that are gone", pool=pool_id, count=removed)
        now = self._clock.now()
        stale = await connection.remove_stale(now - TRACKING_KEPT, now - DATA_KEPT)
        if stale:
            _log.warning("no backup came for long: the next one is full", pool=pool_id, disks=stale)

    async def _remove_snapshot(
        self, connection: PoolConnection, source_id: str, source: Source | None
    ) -> None:
        if source is None:
            await connection.remove_snapshot(source_id, keep_tracking=False)
        else:
            await connection.remove_snapshot(
                source_id, source.committed, source.lineage, source.kept_disks, source.snapshot_disks
            )

    async def _allow_migrations(self, pool_id: str, connection: PoolConnection) -> None:
        """Removes blocks of sources that are closed or unknown, and those a restored VM brought along."""
        for vm_id, source_id in sorted(await connection.migration_blocks()):
            source = await self._source_store.get(source_id)
            open_here = source is not None and source.state is not SourceState.CLOSED
            if source is None or not open_here or source.vm_id != vm_id:
                _log.warning("removing a leftover block of migrations", pool=pool_id, vm=vm_id)
                await connection.allow_migrations(vm_id, source_id)

    async def _remove_target(self, connection: PoolConnection, target_id: str, own: bool) -> None:
        target = await self._target_store.get(target_id)
        if target is None and not self._may_remove_unknown(target_id, own):
            return
        if target is None or target.state is TargetState.ABORTED:
            _log.warning("removing a leftover restore", target=target_id)
            await connection.remove_target(target_id)

    def _may_remove_unknown(self, id: str, own: bool) -> bool:
        """Ours by proof, and seen for a while: something may be in the making elsewhere."""
        since = self._unknown_since.setdefault(id, self._clock.monotonic())
        if not own:
            _log.warning("leftover of another Xenkeep, left alone", id=id)
            return False
        return self._clock.monotonic() - since >= UNKNOWN_GRACE.total_seconds()

    async def _try(self, what: str, work: Awaitable[object]) -> None:
        """A round goes on whatever one part of it meets; the next round tries again."""
        try:
            await work
        except XenkeepError as error:
            _log.warning("the janitor could not", what=what, reason=error.reason, detail=str(error))
