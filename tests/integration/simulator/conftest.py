from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.simulator.pool.simulation import Simulation
from tests.integration.simulator.pools import Sdk, describe, running


@pytest.fixture
async def simulation(tmp_path: Path) -> AsyncIterator[Simulation]:
    """One host, one running VM."""
    async with running(describe(tmp_path / "pool")) as simulation:
        yield simulation


@pytest.fixture
async def sdk(simulation: Simulation) -> AsyncIterator[Sdk]:
    sdk = await Sdk(simulation).log_in()
    yield sdk
    sdk.close()
