"""A pool that runs: hosts with power, answering."""

from services.chassis.clock import Clock
from services.chassis.ids import IdSource
from services.simulator.calls.table import CALLS
from services.simulator.dispatch.dispatcher import Dispatcher
from services.simulator.http.exchange import Exchange
from services.simulator.http.router import Router
from services.simulator.http.rpc import Rpc
from services.simulator.http.server import Handler
from services.simulator.model.schema import load_model
from services.simulator.pool.build import build_pool
from services.simulator.pool.description import PoolDescription
from services.simulator.pool.failures import Failures
from services.simulator.pool.host import Host, NbdFactory
from services.simulator.pool.nbd_door import NbdDoor
from services.simulator.pool.pool import Pool
from services.simulator.transfers import arrivals, newcomers
from services.simulator.transfers.console import Consoles
from services.simulator.transfers.database_dump import DatabaseDump
from services.simulator.transfers.database_restore import DatabaseRestore
from services.simulator.transfers.host_files import AuditLog, HostBackup, HostRestore
from services.simulator.transfers.metadata_export import MetadataExport
from services.simulator.transfers.metadata_import import MetadataImport
from services.simulator.transfers.raw_export import RawExport
from services.simulator.transfers.raw_import import RawImport
from services.simulator.transfers.rrd import Figures
from services.simulator.transfers.screenshot import Screenshot
from services.simulator.transfers.xva_export import XvaExport
from services.simulator.transfers.xva_import import XvaImport


class Simulation:
    """Wires a pool to its hosts' listeners. ``offspring`` are pools of hosts that were ejected from it."""

    def __init__(self, pool: Pool, nbd: NbdFactory) -> None:
        self.pool = pool
        self._nbd = nbd
        self._dispatchers = {pool: Dispatcher(pool, CALLS)}
        pool.failures = Failures(pool, self.boot)
        pool.found = self._found
        self.offspring: list[Simulation] = []

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
        simulation.pool.running = True
        return simulation

    async def boot(self, host: Host) -> None:
        """Give a host power."""
        await host.boot(self.pool.description, self._handler(host), NbdDoor(self.pool, host), self._nbd)

    async def stop(self) -> None:
        """Switch everything off, the pools of ejected hosts too."""
        await self.pool.close()
        for pool in self.offspring:
            await pool.stop()
        for host in (*self.pool.hosts.values(), *self.pool.strangers):
            await host.power_off()

    async def _found(self, description: PoolDescription) -> None:
        """A host that was ejected is a pool of its own."""
        made = await Simulation.start(description, self.pool.clock, self.pool.ids, self._nbd)
        self.offspring.append(made)

    def _handler(self, host: Host) -> Handler:
        """Answers as the coordinator leads that the host follows at the moment."""
        pool, answer = self.pool, self._routes(self.pool, host)

        async def handle(exchange: Exchange) -> None:
            nonlocal pool, answer
            if (now := self.pool.led_with(host)) is not pool:
                pool, answer = now, self._routes(now, host)
            await answer(exchange)

        return handle

    def _dispatcher(self, pool: Pool) -> Dispatcher:
        """Of this pool, or of the rival that it has now."""
        if pool not in self._dispatchers:
            own = self._dispatchers[self.pool]
            self._dispatchers = {self.pool: own, pool: Dispatcher(pool, CALLS)}
        return self._dispatchers[pool]

    def _routes(self, pool: Pool, host: Host) -> Handler:
        rpc = Rpc(host, self._dispatcher(pool))
        figures = Figures(pool, host)
        consoles = Consoles(pool, host)
        arriving = arrivals.Arrivals(pool, host)
        joining = newcomers.Newcomers(pool, host)
        routes = {
            ("POST", "/"): rpc.xml,
            ("POST", "/jsonrpc"): rpc.json,
            ("GET", "/export_raw_vdi"): RawExport(pool, host).handle,
            ("PUT", "/import_raw_vdi"): RawImport(pool, host).handle,
            ("GET", "/export"): XvaExport(pool, host).handle,
            ("PUT", "/import"): XvaImport(pool, host).handle,
            ("GET", "/pool/xmldbdump"): DatabaseDump(pool, host).handle,
            ("PUT", "/pool/xmldbdump"): DatabaseRestore(pool, host).handle,
            ("GET", "/host_backup"): HostBackup(pool, host).handle,
            ("PUT", "/host_restore"): HostRestore(pool, host).handle,
            ("GET", "/audit_log"): AuditLog(pool, host).handle,
            ("GET", "/rrd_updates"): figures.updates,
            ("GET", "/host_rrd"): figures.of_host,
            ("GET", "/vm_rrd"): figures.of_vm,
            ("GET", "/sr_rrd"): figures.of_sr,
            ("CONNECT", "/console"): consoles.connect,
            ("GET", "/console"): consoles.upgrade,
            ("GET", "/vncsnapshot"): Screenshot(pool, host).handle,
            ("GET", "/export_metadata"): MetadataExport(pool, host).handle,
            ("PUT", "/import_metadata"): MetadataImport(pool, host).handle,
            ("PUT", arrivals.SNAPSHOTS): arriving.snapshots,
            ("PUT", arrivals.MEMORY): arriving.memory,
            ("PUT", arrivals.MESSAGES): arriving.messages,
            ("PUT", newcomers.MEMBER): joining.member,
            ("PUT", newcomers.HELLO): joining.hello,
        }
        return Router(routes).handle
