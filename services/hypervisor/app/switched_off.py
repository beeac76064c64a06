"""VMs that somebody switches off while they are backed up: their disks stay where they are from then on."""

import structlog

from services.chassis.errors import NotFound, XenkeepError
from services.hypervisor.app.care import Wake
from services.hypervisor.app.pools import Pools
from services.hypervisor.app.sources import Sources
from services.hypervisor.domain.source import SourceState
from services.hypervisor.ports.stores import SourceStore

_log = structlog.get_logger()


class SwitchedOff:
    """Looks at a pool as soon as ``bell`` rings: a VM went off, or it answers (again)."""

    def __init__(self, pools: Pools, sources: Sources, store: SourceStore, bell: Wake) -> None:
        self._pools = pools
        self._sources = sources
        self._store = store
        self._bell = bell

    async def run(self) -> None:
        """For ever."""
        while True:
            await self._bell.wait()
            for pool_id in self._bell.pools():
                try:
                    await self.look(pool_id)
                except XenkeepError as error:  # our own store is away: the janitor's next round does it
                    _log.warning("VMs that are off not looked at", pool=pool_id, reason=error.reason)

    async def look(self, pool_id: str) -> None:
        """Keeps the disks of every VM that is off and read. What fails is tried again by the janitor."""
        try:
            watch = self._pools.find(pool_id)
        except NotFound:
            return  # removed meanwhile
        for source in await self._store.unfinished(pool_id):
            if source.state is not SourceState.OPEN or not watch.is_off(source.vm_id):
                continue
            try:
                await self._sources.keep_still(pool_id, source.source_id)
            except XenkeepError as error:
                _log.warning("disks of a VM that is off may move", vm=source.vm_id, reason=error.reason)
