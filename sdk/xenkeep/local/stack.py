"""The whole of Xenkeep on this machine: NATS, then the services, ready to be asked."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from xenkeep.client import Client
from xenkeep.home import SERVICES, Home
from xenkeep.local import processes
from xenkeep.local.supervisor import Supervisor

READY_SECONDS = 90.0


@asynccontextmanager
async def stack(home: Home, notify: Callable[[str], None]) -> AsyncIterator[Supervisor]:
    """Run everything while inside; yields when all services answer. Raises Error when one does not."""
    supervisor = Supervisor(home.path / "logs", notify)
    try:
        await supervisor.start(processes.nats(home))
        notify(f"nats listens on {home.nats_url}")
        for program in processes.services(home):
            await supervisor.start(program)
        with Client(home) as client:
            for name in SERVICES:
                await asyncio.to_thread(client.wait_until_serving, name, READY_SECONDS)
                notify(f"{name} serves on {home.addresses[name]}")
        yield supervisor
    finally:
        await supervisor.stop()
