from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.simulator.pool.description import DiskDescription, VmDescription
from services.simulator.pool.simulation import Simulation
from tests.integration.simulator.pools import MIB, Sdk, describe, running


@pytest.fixture
async def simulation(tmp_path: Path) -> AsyncIterator[Simulation]:
    """One host, one running VM."""
    async with running(describe(tmp_path / "pool")) as simulation:
        yield simulation


@pytest.fixture
async def three_hosts(tmp_path: Path) -> AsyncIterator[Simulation]:
    """Without HA, where a host that nobody hears is dead after a moment. The first leads, and ``web`` runs on
    the third.
    """
    disks = [DiskDescription(size_bytes=8 * MIB)]
    vms = [VmDescription(name="web", host="host-3", disks=disks)]
    async with running(describe(tmp_path / "pool", 3, vms=vms, host_assumed_dead_s=0.2)) as simulation:
        yield simulation


@pytest.fixture
async def sdk(simulation: Simulation) -> AsyncIterator[Sdk]:
    sdk = await Sdk(simulation).log_in()
    yield sdk
    sdk.close()
