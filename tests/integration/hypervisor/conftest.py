from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.hypervisor import HypervisorProcess, Lab
from tests.support.nats import NatsServer
from tests.support.pool import PASSWORD, TESLA, SimulatedPool, pool, vm

__all__ = ["lab", "pool", "shared_lab", "warm"]


@pytest.fixture
async def lab(pool: SimulatedPool, nats_server: NatsServer, tmp_path: Path) -> AsyncIterator[Lab]:
    """The service with the pool added to it."""
    async with Lab(pool, HypervisorProcess(nats_server, tmp_path), nats_server).running() as running:
        yield running


@pytest.fixture(scope="module")
def warm() -> bool:
    """How the service of the shared lab is started."""
    return True


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_lab(module_folder: Path, warm: bool) -> AsyncIterator[Lab]:
    """The same for tests that leave others alone: each backs up and restores VMs of its own."""
    directory = module_folder
    for name in ("sim", "nats"):
        (directory / name).mkdir()
    simulated = SimulatedPool(
        directory / "sim",
        vms=[vm("web", host=None, disks=2), vm("db", host=None)],
        users=[{"name": "operator", "password": PASSWORD, "role": "vm-operator"}],
        gpus=[TESLA],
    )
    nats = NatsServer(directory / "nats")
    simulated.start()
    nats.start()
    async with Lab(simulated, HypervisorProcess(nats, directory, warm=warm), nats).running() as running:
        yield running
    nats.stop()
    simulated.stop()
