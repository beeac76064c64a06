from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from services.chassis.clock import SystemClock
from services.chassis.config import Secret
from services.chassis.ids import RandomIds
from services.hypervisor.adapters.memory_pool import MemoryPool
from services.hypervisor.adapters.xapi_gateway import XapiGateway
from services.hypervisor.domain.pool import Pool, PoolState
from tests.contract.hypervisor.worlds import MemoryWorld, SimulatedWorld, World
from tests.support.pool import MIB, PASSWORD, SimulatedPool, vm

INSTALLATION = "0" * 32


@pytest.fixture(scope="module")
def simulated(module_folder: Path) -> Iterator[SimulatedPool]:
    pool = SimulatedPool(module_folder, hosts=2, vms=[vm("web", host=None, disks=2, memory_bytes=16 * MIB)])
    pool.start()
    yield pool
    pool.stop()


async def connected(simulated: SimulatedPool) -> tuple[XapiGateway, Pool]:
    """The gateway and a pool to connect to."""
    gateway = XapiGateway(SystemClock(), INSTALLATION, patience_s=10)
    address = simulated.address(0)
    pin = (await gateway.probe(address)).sha256
    told, port = await gateway.introduce(address, "root", Secret(PASSWORD), pin)
    pool = Pool(
        pool_id=told.pool_id,
        display_name=told.display_name,
        product=told.product,
        username="root",
        port=port,
        coordinator=told.coordinator,
        members=told.members,
        hosts=(),
        missing_rights=told.missing_rights,
        state=PoolState.ONLINE,
        state_message="",
        created=SystemClock().now(),
    )
    return gateway, pool


@pytest.fixture(params=["memory", "simulated"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    if request.param == "memory":
        yield MemoryWorld(MemoryPool(SystemClock(), RandomIds()))
        return
    simulated: SimulatedPool = request.getfixturevalue("simulated")
    gateway, pool = await connected(simulated)
    connection = gateway.connect(pool, Secret(PASSWORD))
    yield SimulatedWorld(connection, simulated)
    await connection.close()
