"""A pool in memory: what the use cases are tested against, held to the same law as the real one."""

import asyncio
from collections.abc import AsyncIterator

from services.chassis.clock import Clock
from services.chassis.ids import IdSource
from services.hypervisor.adapters.memory_care import MemoryCare
from services.hypervisor.adapters.memory_guests import MemoryGuests
from services.hypervisor.adapters.memory_leavings import MemoryLeavings
from services.hypervisor.adapters.memory_metadata import MemoryMetadata
from services.hypervisor.adapters.memory_readers import MemoryReaders
from services.hypervisor.adapters.memory_restores import MemoryRestores
from services.hypervisor.adapters.memory_snapshots import MemorySnapshots
from services.hypervisor.domain.leadership import Leadership
from services.hypervisor.domain.pool import Host, Member, Picture


class MemoryPool(
    MemorySnapshots,
    MemoryReaders,
    MemoryGuests,
    MemoryCare,
    MemoryRestores,
    MemoryLeavings,
    MemoryMetadata,
):
    """``ports.pool.PoolConnection`` without a network. Tests change ``vms`` and ``disks`` as guests would."""

    def __init__(self, clock: Clock, ids: IdSource) -> None:
        super().__init__(clock, ids)
        self.pictures: asyncio.Queue[Picture] = asyncio.Queue()
        self.known_members: tuple[Member, ...] = ()

    def learn(self, members: tuple[Member, ...], coordinator: str) -> None:
        self.known_members = members

    async def watch(self) -> AsyncIterator[Picture]:
        while True:
            yield await self.pictures.get()

    async def members(self) -> tuple[Member, ...]:
        return self.known_members

    async def leadership(self, *, sampled: bool = False) -> Leadership:
        return Leadership("host-1")

    async def close(self) -> None:
        return None

    def picture(self) -> Picture:
        """The pool without its VMs, for use cases that need only that it answers."""
        return Picture("Memory", "Fake 1.0", "host-1", (Host("host-1", "host 1", "host-1", True),))
