"""What was done to VMs for their snapshots: read and written by those who do it."""

from services.hypervisor.domain.intervention import Intervention
from services.hypervisor.domain.notice import Notice
from services.hypervisor.domain.source import Source
from services.hypervisor.ports.stores import InterventionStore


class Owed:
    """Interventions of sources; of a source nobody noted anything of there is an empty one."""

    def __init__(self, store: InterventionStore) -> None:
        self._store = store

    async def of(self, source: Source) -> Intervention:
        return await self.noted(source) or nothing(source)

    async def noted(self, source: Source) -> Intervention | None:
        """None when nothing was ever noted."""
        return await self._store.get(source.source_id)

    async def note(self, intervention: Intervention) -> None:
        await self._store.save(intervention)

    async def tell(self, source: Source, notice: Notice) -> None:
        """One more notice, nothing twice."""
        done = await self.of(source)
        await self._store.save(done.with_notice(notice))

    async def forget(self, source_id: str) -> None:
        await self._store.forget(source_id)


def nothing(source: Source) -> Intervention:
    """Nothing was done yet."""
    return Intervention(source.source_id, source.pool_id, source.vm_id)
