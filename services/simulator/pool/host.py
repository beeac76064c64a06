"""A simulated host: its listeners, its certificate, and whether it has power."""

import asyncio
import ssl
from collections.abc import Callable
from typing import Protocol

from services.simulator.http.server import Handler, HttpServer
from services.simulator.nbd.ports import Door
from services.simulator.pool.certificates import HostCertificate
from services.simulator.pool.description import HostDescription, PoolDescription
from services.simulator.pool.link import Link
from services.simulator.pool.silence import Silence, hang_up


class NbdListener(Protocol):
    """The NBD server of a host (``services.simulator.nbd.server.NbdServer``)."""

    ssl_context: ssl.SSLContext

    @property
    def port(self) -> int:
        """The port it listens on."""

    @property
    def connections(self) -> int:
        """How many are open."""

    async def start(self, address: str, port: int) -> None:
        """Listen; raises ``OSError``."""

    async def close(self) -> None:
        """Stop listening; every export is closed when it returns."""

    async def cut(self) -> None:
        """Reset every connection; their exports are closed when it returns."""

    def kill(self) -> None:
        """Stop listening and reset every connection at once."""

    def cut_after(self, byte_count: int) -> None:
        """Cut a connection after so many more bytes sent."""


NbdFactory = Callable[[Door, ssl.SSLContext], NbdListener]


class Host:
    """``emergency`` means: it is a supporter that has lost its coordinator; ``unknown``: because that one
    does not know it any more. ``cut_off_under`` is the coordinator (a reference) of when its fellows stopped
    hearing it, or that it follows in the other half of a split pool, and empty otherwise. ``internal`` is the
    certificate that other hosts ask for.
    """

    def __init__(
        self,
        ref: str,
        uuid: str,
        machine: HostDescription,
        certificate: HostCertificate,
        internal: HostCertificate | None = None,
    ) -> None:
        self.ref = ref
        self.uuid = uuid
        self.machine = machine
        self.name = machine.name
        self.address = machine.address
        self.certificate = certificate
        self.internal = internal
        self.alive = False
        self.emergency = False
        self.unknown = False
        self.https_only = False
        self._http_port: int | None = None
        self.cut_off_under = ""
        self.silence = Silence(machine.address)
        self.sched_gran = "cpu"
        self.link = Link()
        self.nbd_sent_bytes = 0
        self.https: HttpServer | None = None
        self.http: HttpServer | None = None
        self.nbd: NbdListener | None = None

    async def boot(self, ports: PoolDescription, handler: Handler, door: Door, nbd: NbdFactory) -> None:
        """Listen on the ports of the description. Raises ``OSError`` when one is taken; then nothing
        listens.
        """
        self.silence.end(reset=True)
        self.cut_off_under = ""
        context = self.certificate.server_context(self.internal)
        places = asyncio.Semaphore(ports.http_connections)
        self.https = HttpServer(handler, context, places)
        self.http = None if ports.http_port is None else HttpServer(handler, None, places)
        self._http_port = ports.http_port
        self.nbd = nbd(door, self.certificate.server_context())
        try:
            await self.https.start(self.address, ports.https_port)
            if not self.https_only:
                await self._open_plain_port()
            await self.nbd.start(self.address, ports.nbd_port)
        except OSError:
            await self.power_off()
            raise
        self.alive = True
        self.emergency = False

    async def insist_on_https(self, insists: bool) -> None:
        """Close the port without TLS to newcomers, or open it again; raises ``OSError`` when it is taken."""
        self.https_only, changed = insists, insists != self.https_only
        if changed and insists and self.http is not None:
            self.http.rest()
        elif changed and not insists:
            await self._open_plain_port()

    async def _open_plain_port(self) -> None:
        if self.http is not None and self._http_port is not None:
            await self.http.start(self.address, self._http_port)

    def replace_certificate(self, certificate: HostCertificate) -> None:
        """Connections made from now on see it."""
        self.certificate = certificate
        for server in (self.https, self.nbd):
            if server is not None and server.ssl_context is not None:
                server.ssl_context.load_cert_chain(certificate.path)

    @property
    def heard(self) -> bool:
        """Whether the other hosts hear it, and it follows their coordinator."""
        return self.alive and not self.cut_off_under

    async def power_off(self, *, silently: bool = False) -> None:
        """Every listener and every connection is gone at once: refused and reset, or ``silently``. Raises
        ``OSError`` when the kernel cannot do that.
        """
        if silently:
            await self.silence.fall(listeners_die=True)
        elif self.silence.fallen:
            self.silence.end(reset=True)
        self.alive = False
        nbd, servers = self.nbd, [server for server in (self.https, self.http) if server is not None]
        self.https = self.http = self.nbd = None
        if nbd is not None:
            nbd.kill()
        ports = {server.port for server in servers if server.listens}
        for server in servers:
            server.cut()
        for server in servers:
            await server.kill()
        if not silently:
            hang_up(self.address, ports)
        if nbd is not None:
            await nbd.close()

    async def restart_toolstack(self) -> None:
        """Every connection of the toolstack breaks, and it listens again; NBD is another process."""
        for server in (self.https, self.http):
            if server is not None:
                await server.restart()
        if self.silence.fallen:
            await self.silence.fall()

    def cut_http(self, after_bytes: int) -> int:
        """Reset the connections of the toolstack, now or after some more bytes of bodies; their number."""
        servers = [server for server in (self.https, self.http) if server is not None]
        if after_bytes:
            self.link.cut_after(after_bytes)
            return sum(server.connection_count for server in servers)
        return sum(server.cut() for server in servers)

    def break_off_answers(self) -> None:
        """Reset the connections of the toolstack that wait for an answer."""
        for server in (self.https, self.http):
            if server is not None:
                server.cut(busy=True)

    async def cut_nbd(self, after_bytes: int) -> int:
        """Reset the NBD connections, now or after some more bytes; their number."""
        if self.nbd is None:
            return 0
        count = self.nbd.connections
        if after_bytes:
            self.nbd.cut_after(after_bytes)
        else:
            await self.nbd.cut()
        return count

    @property
    def nbd_connections(self) -> int:
        return self.nbd.connections if self.nbd is not None else 0

    @property
    def https_port(self) -> int:
        """0 while it has no power."""
        return self.https.port if self.https is not None else 0

    @property
    def nbd_port(self) -> int:
        """0 while it has no power."""
        return self.nbd.port if self.nbd is not None else 0
