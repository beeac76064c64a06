"""The whole of Xenkeep on this machine: NATS, then the services, ready to be asked."""

import asyncio
import fcntl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

from xenkeep.client import Client
from xenkeep.errors import Error
from xenkeep.home import SERVICES, Home
from xenkeep.local import processes
from xenkeep.local.renewal import keep_renewed
from xenkeep.local.supervisor import Supervisor

READY_SECONDS = 90.0


@asynccontextmanager
async def stack(home: Home, notify: Callable[[str], None]) -> AsyncIterator[Supervisor]:
    """Run everything while inside; yields when all services answer. Raises Error when one does not, and
    FailedPrecondition HOME_IN_USE when the home folder runs already.
    """
    supervisor = Supervisor(home.path / "logs", notify)
    with _alone(home):
        async with _everything(home, notify, supervisor):
            yield supervisor


@asynccontextmanager
async def _everything(
    home: Home, notify: Callable[[str], None], supervisor: Supervisor
) -> AsyncIterator[None]:
    try:
        await supervisor.start(processes.nats(home))
        notify(f"nats listens on {home.nats_url}")
        for program in processes.services(home):
            await supervisor.start(program)
        with Client(home) as client:
            for name in SERVICES:
                try:
                    await asyncio.to_thread(client.wait_until_serving, name, READY_SECONDS)
                except Error as error:
                    raise supervisor.not_ready(name, f"does not serve: {error.message}") from None
                notify(f"{name} serves on {home.addresses[name]}")
        renewal = asyncio.create_task(keep_renewed(home, supervisor, notify))
        try:
            yield
        finally:
            renewal.cancel()
            await asyncio.wait([renewal])
    finally:
        await supervisor.stop()


@contextmanager
def _alone(home: Home) -> Iterator[None]:
    """Hold the home folder; the kernel lets go of it when this process ends, however it ends."""
    with (home.path / "running").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Error(
                "FailedPrecondition",
                "HOME_IN_USE",
                f"Xenkeep runs already from {home.path}.",
                "See `xenkeep status`; stop the other one, or name another home with XENKEEP_HOME.",
            ) from None
        yield
