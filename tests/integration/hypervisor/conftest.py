from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.hypervisor import HypervisorProcess, Lab
from tests.support.nats import NatsServer
from tests.support.pool import SimulatedPool, pool

__all__ = ["lab", "pool"]


@pytest.fixture
async def lab(pool: SimulatedPool, nats_server: NatsServer, tmp_path: Path) -> AsyncIterator[Lab]:
    """The service with the pool added to it."""
    async with Lab(pool, HypervisorProcess(nats_server, tmp_path), nats_server).running() as running:
        yield running
