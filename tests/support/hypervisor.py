"""The hypervisor service as a process of its own, between a real NATS and a simulated pool."""

import asyncio
import os
import signal
import ssl
import struct
import sys
import uuid
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import grpc
import XenAPI
from google.protobuf.message import Message
from xenkeep.hypervisor.v1 import (
    backup_source_pb2,
    backup_source_pb2_grpc,
    events_pb2,
    pool_pb2,
    pool_pb2_grpc,
    restore_target_pb2,
    restore_target_pb2_grpc,
    vm_pb2,
    vm_pb2_grpc,
)
from xenkeep.simulator.v1 import simulator_pb2, simulator_pb2_grpc

from services.chassis.bus.subscribe import tail
from services.chassis.rpc.channel import channel
from tests.support.nats import NatsServer
from tests.support.pool import PASSWORD, SimulatedPool, simulator
from tests.support.ports import free_port
from tests.support.waiting import PATIENCE_S as PATIENCE_S
from tests.support.warm import WarmProcess, start

if TYPE_CHECKING:
    Pools = pool_pb2_grpc.PoolServiceAsyncStub
    Vms = vm_pb2_grpc.VmServiceAsyncStub
    Sources = backup_source_pb2_grpc.BackupSourceServiceAsyncStub
    Targets = restore_target_pb2_grpc.RestoreTargetServiceAsyncStub
    Simulator = simulator_pb2_grpc.SimulatorServiceAsyncStub

POOL_PATIENCE_S = 10
"""How long a service under test bridges an outage of a pool."""
EVENTS: tuple[type[Message], ...] = tuple(
    getattr(events_pb2, name) for name in events_pb2.DESCRIPTOR.message_types_by_name
)


class HypervisorProcess:
    """``start`` returns when it serves; what it stored survives ``kill``. ``warm`` is how it is started,
    ``environment`` comes last."""

    def __init__(
        self,
        nats: NatsServer,
        directory: Path,
        environment: Mapping[str, str] | None = None,
        *,
        warm: bool = True,
    ) -> None:
        self._chosen = environment or {}
        self.target = f"127.0.0.1:{free_port()}"
        self._nats = nats
        self._directory = directory
        self._warm = warm
        self._process: Process | WarmProcess | None = None
        self.log = directory / "hypervisor.log"
        self.data = directory / "hypervisor"

    async def start(self, crash_at: str = "") -> None:
        tls = self._nats.tls("hypervisor")
        environment = os.environ | {
            "XENKEEP_LISTEN": self.target,
            "XENKEEP_DATA_DIR": str(self.data),
            "XENKEEP_TLS_CA": str(tls.ca),
            "XENKEEP_TLS_CERT": str(tls.cert),
            "XENKEEP_TLS_KEY": str(tls.key),
            "XENKEEP_NATS_URL": self._nats.url,
            "XENKEEP_POOL_PATIENCE": f"{POOL_PATIENCE_S}s",
            "XENKEEP_CRASH_AT": crash_at,
            "XENKEEP_HOOK_CA": str(tls.ca),
            **self._chosen,
        }
        with self.log.open("ab") as log:
            if self._warm:
                said = log.fileno()
                self._process = start(
                    "services.hypervisor.__main__:main", env=environment, stdout=said, stderr=said
                )
            else:
                self._process = await asyncio.create_subprocess_exec(
                    sys.executable, "-m", "services.hypervisor", env=environment, stdout=log, stderr=log
                )
        async with self.channel() as way, asyncio.timeout(PATIENCE_S):
            serving = asyncio.ensure_future(way.channel_ready())
            ended = asyncio.ensure_future(self._process.wait())
            await asyncio.wait({serving, ended}, return_when=asyncio.FIRST_COMPLETED)
            serving.cancel()
            assert not ended.done(), self.log.read_text()
            ended.cancel()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def kill(self) -> None:
        await self._end(signal.SIGKILL)

    async def stop(self) -> None:
        if self._process is not None:
            await self._end(signal.SIGTERM)

    async def died(self) -> None:
        """Returns when it has killed itself."""
        assert self._process is not None
        assert await asyncio.wait_for(self._process.wait(), PATIENCE_S) == -signal.SIGKILL
        self._process = None

    def channel(self, caller: str = "admin") -> grpc.aio.Channel:
        return channel(self.target, self._nats.tls(caller))

    async def _end(self, number: int) -> None:
        process, self._process = self._process, None
        assert process is not None
        if process.returncode is None:
            process.send_signal(number)
        await process.wait()


class Lab:
    """One pool, one service, and the stubs to ask both."""

    def __init__(self, pool: SimulatedPool, process: HypervisorProcess, nats: NatsServer) -> None:
        self.pool, self.process, self.nats = pool, process, nats
        self.events: list[Message] = []
        self._news = asyncio.Event()
        self.pool_id = ""

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Lab"]:
        """Starts the service, adds the pool and collects every event."""
        await self.process.start()
        try:
            async with self.nats.bus("admin") as bus, self.pool.control() as control:
                self.simulator: Simulator = simulator(control)
                collecting = asyncio.ensure_future(self._collect(bus))
                async with self.connected():
                    await self.add_pool()
                    yield self
                collecting.cancel()
                await asyncio.gather(collecting, return_exceptions=True)
        finally:
            await self.process.stop()

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[None]:
        async with self.process.channel() as way:
            self.pools: Pools = pool_pb2_grpc.PoolServiceStub(way)
            self.vms: Vms = vm_pb2_grpc.VmServiceStub(way)
            self.sources: Sources = backup_source_pb2_grpc.BackupSourceServiceStub(way)
            self.targets: Targets = restore_target_pb2_grpc.RestoreTargetServiceStub(way)
            yield

    async def restarted(self, crash_at: str = "") -> None:
        """Starts the service again; the channel finds it by itself."""
        await self.process.start(crash_at)

    async def add_pool(self, host: int = 0, username: str = "root") -> pool_pb2.Pool:
        added = await self.add_another(self.pool.address(host), username)
        self.pool_id = added.name.removeprefix("pools/")
        return added

    async def add_another(self, address: str, username: str = "root") -> pool_pb2.Pool:
        """A pool that the other methods do not ask."""
        probe = await self.pools.ProbePool(pool_pb2.ProbePoolRequest(address=address), timeout=PATIENCE_S)
        request = pool_pb2.CreatePoolRequest(
            address=address,
            username=username,
            password=PASSWORD,
            certificate_sha256=probe.certificate.sha256,
        )
        return await self.pools.CreatePool(request, timeout=PATIENCE_S)

    async def vm(self, name: str) -> vm_pb2.Vm:
        return await self.vms.GetVm(vm_pb2.GetVmRequest(name=name), timeout=PATIENCE_S, wait_for_ready=True)

    async def vm_with(self, name: str, wanted: Callable[[vm_pb2.Vm], bool]) -> vm_pb2.Vm:
        """The VM as soon as ``wanted`` holds, looked at after each event."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                self._news.clear()
                try:
                    if wanted(now := await self.vm(name)):
                        return now
                except grpc.aio.AioRpcError as error:
                    if error.code() is not grpc.StatusCode.NOT_FOUND:
                        raise
                await self._news.wait()

    async def new_vm(self, *, like: str = "web", running: bool = True) -> vm_pb2.Vm:
        """A VM nobody else in the test module touches."""
        [template] = await self.session_call("VM.get_by_name_label", like)
        ref = await self.session_call("VM.clone", template, f"{like} {uuid.uuid4()}")
        if running:
            await self.session_call("VM.start", ref, False, False)
        power = vm_pb2.Vm.POWER_STATE_RUNNING if running else vm_pb2.Vm.POWER_STATE_HALTED
        return await self.vm_with(
            await self.session_call("VM.get_uuid", ref), lambda now: now.power_state == power
        )

    async def session_call(self, method: str, *args: object, host: int = 0) -> Any:
        """A XenAPI call by a client of its own (the SDK of the XenServer project)."""
        return await asyncio.to_thread(sdk_call, f"https://{self.pool.address(host)}", method, args)

    async def open(
        self, vm: vm_pb2.Vm, bases: Iterable[backup_source_pb2.DiskBase] = (), id: str = "", **more: Any
    ) -> backup_source_pb2.BackupSource:
        request = backup_source_pb2.OpenBackupSourceRequest(
            vm=vm.name, backup_source_id=id or str(uuid.uuid4()), bases=list(bases), **more
        )
        return await self.sources.OpenBackupSource(request, timeout=PATIENCE_S, wait_for_ready=True)

    async def close(self, name: str, committed: bool) -> list[str]:
        """The codes of what is told of it."""
        request = backup_source_pb2.CloseBackupSourceRequest(name=name, committed=committed)
        answer = await self.sources.CloseBackupSource(request, timeout=PATIENCE_S, wait_for_ready=True)
        return [notice.code for notice in answer.notices]

    async def review(self, name: str) -> list[str]:
        """The codes of what is told of it by now."""
        request = backup_source_pb2.ReviewBackupSourceRequest(name=name)
        answer = await self.sources.ReviewBackupSource(request, timeout=PATIENCE_S, wait_for_ready=True)
        return [notice.code for notice in answer.notices]

    async def backed_up(
        self, vm: vm_pb2.Vm, bases: Iterable[backup_source_pb2.DiskBase] = ()
    ) -> backup_source_pb2.BackupSource:
        source = await self.open(vm, bases)
        await self.close(source.name, committed=True)
        return source

    async def extents(self, source: str, disk_id: str) -> list[tuple[int, int]]:
        request = backup_source_pb2.ListExtentsRequest(name=source, disk_id=disk_id)
        return [
            (extent.offset_bytes, extent.length_bytes)
            async for part in self.sources.ListExtents(request, timeout=PATIENCE_S)
            for extent in part.extents
        ]

    async def guest_writes(self, disk_id: str, offset: int, data: bytes) -> None:
        write = simulator_pb2.GuestWrite(offset_bytes=offset, data=data)
        await self.simulator.WriteGuest(simulator_pb2.WriteGuestRequest(disk_id=disk_id, writes=[write]))

    async def hash_of(self, disk_id: str) -> str:
        return (await self.simulator.HashDisk(simulator_pb2.HashDiskRequest(disk_id=disk_id))).sha256

    async def event(self, kind: type[Message], wanted: Callable[[Any], bool] = lambda _: True) -> Any:
        """The first event of that kind, past or to come."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                for event in self.events:
                    if isinstance(event, kind) and wanted(event):
                        return event
                self._news.clear()
                await self._news.wait()

    async def _collect(self, bus: Any) -> None:
        async for event, _ in tail(bus, EVENTS):
            self.events.append(event)
            self._news.set()


def sdk_call(url: str, method: str, args: tuple[object, ...]) -> Any:
    session = XenAPI.Session(url, ignore_ssl=True)
    session.xenapi.login_with_password("root", PASSWORD)
    try:
        return session.xenapi_request(method, args)
    finally:
        session.xenapi.session.logout()
        session("close")()


def bases(source: backup_source_pb2.BackupSource) -> list[backup_source_pb2.DiskBase]:
    """What the next incremental of the source's disks starts from."""
    return [
        backup_source_pb2.DiskBase(disk_id=disk.disk_id, tracking_ref=disk.tracking_ref)
        for disk in source.disks
    ]


async def write_disk(endpoint: restore_target_pb2.WriteEndpoint, pieces: Iterable[tuple[int, bytes]]) -> None:
    """Writes a disk as a mover does."""
    await put_disk(endpoint.url, endpoint.certificate_pem, pieces)


async def put_disk(address: str, certificate_pem: str, pieces: Iterable[tuple[int, bytes]]) -> None:
    """PUTs framed raw data and waits until the host closes."""
    context = ssl.create_default_context(cadata=certificate_pem)
    context.check_hostname = False
    url = urlsplit(address)
    frames = b"".join(struct.pack("<QI", offset, len(data)) + data for offset, data in pieces) + bytes(12)
    reader, writer = await asyncio.open_connection(url.hostname, url.port or 443, ssl=context)
    head = (
        f"PUT {url.path}?{url.query} HTTP/1.1\r\nHost: {url.netloc}\r\nContent-Length: {len(frames)}\r\n\r\n"
    )
    try:
        writer.write(head.encode() + frames)
        await writer.drain()
        assert (await reader.readline()).split()[1] == b"200"
        await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()
