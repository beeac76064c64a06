"""A service as its own process, with real certificates, a real NATS and neighbours over real gRPC."""

import asyncio
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
from xenkeep.scheduler.v1 import policy_pb2_grpc, run_pb2_grpc

from services.chassis.bus.nats_bus import Bus
from services.chassis.rpc.channel import channel
from services.chassis.rpc.server import RpcServer
from tests.integration.scheduler.neighbours import (
    Catalog,
    Hypervisor,
    Mover,
    serve_catalog,
    serve_hypervisor,
    serve_mover,
)
from tests.integration.scheduler.scripted_mover import Script, ScriptedMover
from tests.support.nats import NatsServer
from tests.support.ports import free_port
from tests.support.warm import WarmProcess, start

if TYPE_CHECKING:
    Stubs = tuple[policy_pb2_grpc.PolicyServiceAsyncStub, run_pb2_grpc.RunServiceAsyncStub]


class ServiceProcess:
    """One service, started and killed as often as wanted; its store stays in ``directory``."""

    def __init__(self, name: str, directory: Path, nats: NatsServer, neighbours: Mapping[str, int]) -> None:
        self.name, self.directory, self._nats = name, directory, nats
        self.address = f"127.0.0.1:{free_port()}"
        tls = nats.tls(name)
        self.env = {
            "XENKEEP_LISTEN": self.address,
            "XENKEEP_DATA_DIR": str(directory / name),
            "XENKEEP_NATS_URL": nats.url,
            "XENKEEP_TLS_CA": str(tls.ca),
            "XENKEEP_TLS_CERT": str(tls.cert),
            "XENKEEP_TLS_KEY": str(tls.key),
            "MORTAL_SERVICE": name,
        } | {f"XENKEEP_{other.upper()}": f"127.0.0.1:{port}" for other, port in neighbours.items()}
        self._process: WarmProcess | None = None

    async def start(self, module: str = "", **env: str) -> None:
        """Returns at once; calls made with ``wait_for_ready`` wait for it."""
        with (self.directory / f"{self.name}.log").open("ab") as log:
            program = f"{module or f'services.{self.name}.__main__'}:main"
            said = log.fileno()
            self._process = start(program, env=self.env | env, stdout=said, stderr=said)

    async def wait(self) -> int:
        """Its exit code, when it has ended by itself."""
        assert self._process is not None
        return await self._process.wait()

    async def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Its exit code."""
        process, self._process = self._process, None
        if process is None:
            return 0
        if process.returncode is None:
            process.send_signal(how)
        return await process.wait()

    def channel(self, caller: str = "admin") -> grpc.aio.Channel:
        return channel(self.address, self._nats.tls(caller))


@dataclass
class Stack:
    """The scheduler and everything around it."""

    bus: Bus
    mover: ScriptedMover
    scheduler: ServiceProcess
    hypervisor: Hypervisor
    catalog: Catalog


@asynccontextmanager
async def scheduler_stack(
    nats: NatsServer, directory: Path, *vms: str, script: Script | None = None, start: bool = True
) -> AsyncIterator[Stack]:
    # What a test does not need of the contracts answers UNIMPLEMENTED.
    hypervisor = Hypervisor(*vms)  # type: ignore[abstract]
    mover, catalog = Mover(), Catalog()  # type: ignore[abstract]
    servers: tuple[RpcServer, ...] = (
        serve_hypervisor(nats, hypervisor),
        serve_mover(nats, mover),
        serve_catalog(nats, catalog),
    )
    async with servers[0], servers[1], servers[2], nats.bus("mover") as bus:
        ports = dict(zip(("hypervisor", "mover", "catalog"), (each.port for each in servers), strict=True))
        process = ServiceProcess("scheduler", directory, nats, ports)
        scripted = ScriptedMover(bus, script)
        stack = Stack(bus, scripted, process, hypervisor, catalog)
        serving = asyncio.create_task(scripted.serve())
        if start:
            await process.start()
        try:
            yield stack
        finally:
            await process.end()
            serving.cancel()
            with suppress(asyncio.CancelledError):
                await serving


@asynccontextmanager
async def scheduler_stubs(stack: Stack, caller: str = "admin") -> AsyncIterator["Stubs"]:
    async with stack.scheduler.channel(caller) as way:
        yield policy_pb2_grpc.PolicyServiceStub(way), run_pb2_grpc.RunServiceStub(way)
