"""A VM on a pool in memory, and the inside of the service around it."""

import uuid
from dataclasses import dataclass

from services.hypervisor.adapters.memory_agents import MemoryAgents
from services.hypervisor.adapters.memory_objects import MemoryVm
from services.hypervisor.adapters.memory_pool import MemoryPool
from services.hypervisor.app.readables import Readable
from services.hypervisor.domain.capture import Options
from services.hypervisor.domain.source import Source
from services.hypervisor.domain.tracking import FullReason
from services.hypervisor.domain.vm import Method, PowerState
from tests.support.hypervisor_house import POOL_ID, House


@dataclass
class Scene:
    """``vm`` runs on host-1 and has two disks."""

    pool: MemoryPool
    inside: House
    agents: MemoryAgents
    vm: MemoryVm

    async def readable(self, method: Method, options: Options | None = None, id: str = "") -> Readable:
        asked, id = FullReason.FIRST_BACKUP, id or str(uuid.uuid4())
        return await self.inside.sources.open(
            POOL_ID, self.vm.vm_id, id, method, (), asked, options or Options()
        )

    async def open(self, method: Method, options: Options | None = None, id: str = "") -> Source:
        return (await self.readable(method, options, id)).source

    async def close(self, source: Source, committed: bool = True) -> None:
        await self.inside.sources.close(POOL_ID, source.source_id, committed)

    @property
    def untouched(self) -> bool:
        """No snapshot, no more disks, and the VM runs."""
        runs = self.vm.power_state is PowerState.RUNNING
        return runs and [self.vm] == list(self.pool.vms.values()) and len(self.pool.disks) == 2


def codes(source: Source) -> list[str]:
    return [notice.code for notice in source.notices]
