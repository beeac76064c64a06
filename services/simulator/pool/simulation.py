"""A pool that runs: hosts with power, answering."""

from services.chassis.clock import Clock
from services.chassis.ids import IdSource
from services.simulator.calls.table import CALLS
from services.simulator.dispatch.dispatcher import Dispatcher
from services.simulator.http.router import Router
from services.simulator.http.rpc import Rpc
from services.simulator.http.server import Handler
from services.simulator.model.schema import load_model
from services.simulator.pool.build import build_pool
from services.simulator.pool.description import PoolDescription
from services.simulator.pool.host import Host, NbdFactory
from services.simulator.pool.nbd_door import NbdDoor
from services.simulator.pool.pool import Pool


class Simulation:
    """Wires a pool to its hosts' listeners."""

    def __init__(self, pool: Pool, nbd: NbdFactory) -> None:
        self.pool = pool
        self._nbd = nbd
        self._dispatcher = Dispatcher(pool, CALLS)

    @classmethod
    async def start(
        cls, description: PoolDescription, clock: Clock, ids: IdSource, nbd: NbdFactory
    ) -> "Simulation":
        """Build the pool and boot its hosts. Raises ``OSError`` when an address or port is not to be had."""
        simulation = cls(await build_pool(load_model(description.version), description, clock, ids), nbd)
        try:
            for host in simulation.pool.hosts.values():
                await simulation.boot(host)
        except OSError:
            await simulation.stop()
            raise
        return simulation

    async def boot(self, host: Host) -> None:
        """Give a host power."""
        await host.boot(self.pool.description, self._handler(host), NbdDoor(self.pool, host), self._nbd)

    async def stop(self) -> None:
        """Switch everything off."""
        await self.pool.close()
        for host in self.pool.hosts.values():
            await host.power_off()

    def _handler(self, host: Host) -> Handler:
        rpc = Rpc(host, self._dispatcher)
        return Router({("POST", "/"): rpc.xml, ("POST", "/jsonrpc"): rpc.json}).handle
