from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.chassis.clock import SystemClock
from services.chassis.ids import RandomIds
from services.hypervisor.adapters.memory_agents import MemoryAgents
from services.hypervisor.adapters.memory_pool import MemoryPool
from services.hypervisor.domain.vm import PowerState
from tests.support.hypervisor_house import house
from tests.unit.hypervisor.scenes import Scene


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    pool = MemoryPool(SystemClock(), RandomIds())
    vm = pool.add_vm("web", pool.add_disk("root"), pool.add_disk("data"))
    vm.power_state, vm.host_id = PowerState.RUNNING, "host-1"
    agents = MemoryAgents(SystemClock())
    async with house(tmp_path, pool, agents=agents) as inside:
        yield Scene(pool, inside, agents, vm)
