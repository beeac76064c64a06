"""A mover as a process of its own between a real NATS and a played hypervisor service."""

import asyncio
import os
import random
import shutil
import signal
import sys
import uuid
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.message import Message
from xenkeep.common.v1 import capture_pb2
from xenkeep.mover.v1 import (
    events_pb2,
    repository_pb2,
    repository_pb2_grpc,
    transfer_pb2,
    transfer_pb2_grpc,
    work_pb2,
)
from xenkeep.scheduler.v1 import events_pb2 as scheduler_events

from services.chassis.bus import cloudevents, subjects
from services.chassis.bus.nats_bus import Bus
from services.chassis.bus.subscribe import tail
from services.chassis.rpc.channel import channel
from services.mover.repository import Argon2Cost, DirectoryStore, create_repository
from tests.integration.mover.hypervisor import POOL, VM, HypervisorService
from tests.support.nats import NatsServer
from tests.support.ports import free_port
from tests.support.waiting import PATIENCE_S as PATIENCE_S
from tests.support.waiting import until_true
from tests.support.warm import WarmProcess, start

if TYPE_CHECKING:
    Repositories = repository_pb2_grpc.RepositoryServiceAsyncStub
    Transfers = transfer_pb2_grpc.TransferServiceAsyncStub

PASSPHRASE = "correct horse battery"
CHEAP = Argon2Cost(time=1, memory_kib=64, lanes=1)
MIB = 1 << 20
ENDS = (events_pb2.TransferFinished, events_pb2.TransferFailed, events_pb2.TransferCancelled)


def noise(size_bytes: int, seed: int = 1) -> bytearray:
    """Content that cannot be compressed."""
    return bytearray(random.Random(seed).randbytes(size_bytes))


class MoverProcess:
    """``start`` returns when it serves; what it stored survives ``kill``. ``database`` is the site's."""

    def __init__(self, nats: NatsServer, directory: Path, hypervisor: str, database: Path) -> None:
        self.target = f"127.0.0.1:{free_port()}"
        self._nats = nats
        self.data = directory
        self.log = directory.with_suffix(".log")
        self._process: Process | WarmProcess | None = None
        tls = nats.tls("mover")
        self.env = os.environ | {
            "XENKEEP_LISTEN": self.target,
            "XENKEEP_DATA_DIR": str(directory),
            "XENKEEP_DATABASE_URL": f"sqlite+aiosqlite:///{database}",
            "XENKEEP_TLS_CA": str(tls.ca),
            "XENKEEP_TLS_CERT": str(tls.cert),
            "XENKEEP_TLS_KEY": str(tls.key),
            "XENKEEP_NATS_URL": nats.url,
            "XENKEEP_HYPERVISOR": hypervisor,
            "XENKEEP_TRANSFER_LEASE": "2s",
            "XENKEEP_CHECKPOINT_INTERVAL": "0s",
        }

    async def start(self, wrapper: tuple[str, ...] = ()) -> None:
        """``wrapper`` is a program that runs it."""
        with self.log.open("ab") as log:
            if wrapper:
                self._process = await asyncio.create_subprocess_exec(
                    *wrapper, sys.executable, "-m", "services.mover", env=self.env, stdout=log, stderr=log
                )
            else:
                said = log.fileno()
                self._process = start("services.mover.__main__:main", env=self.env, stdout=said, stderr=said)
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
        await self.end(signal.SIGKILL)

    def pause(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    async def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Its exit code; 0 when it did not run."""
        process, self._process = self._process, None
        if process is None:
            return 0
        if process.returncode is None:
            process.send_signal(number)
        return await process.wait()

    def channel(self, caller: str = "admin") -> grpc.aio.Channel:
        return channel(self.target, self._nats.tls(caller))


class Lab:
    """One mover (``spare`` makes more), one VM, one repository, every event."""

    def __init__(self, nats: NatsServer, directory: Path, disks: dict[str, bytearray]) -> None:
        self.nats, self.directory = nats, directory
        self.hypervisor = HypervisorService(nats, directory / "pool", disks)
        self.place = directory / "repository"
        self.events: list[Any] = []
        self._news = asyncio.Event()
        self._movers: list[MoverProcess] = []

    @asynccontextmanager
    async def running(self, env: Mapping[str, str] | None = None) -> AsyncIterator["Lab"]:
        """``env`` is for the mover."""
        create_repository(
            DirectoryStore(self.place, create=True),
            PASSPHRASE,
            self.directory,
            chunk_bytes=256 << 10,
            cost=CHEAP,
        )[0].close()
        async with self.hypervisor, self.nats.bus("admin") as self.bus:
            collecting = asyncio.ensure_future(self._collect(self.bus))
            self.mover = self.another("mover-1")
            self.mover.env |= dict(env or {})
            try:
                await self.mover.start()
                async with self.mover.channel() as way:
                    self.repositories: Repositories = repository_pb2_grpc.RepositoryServiceStub(way)
                    self.transfers: Transfers = transfer_pb2_grpc.TransferServiceStub(way)
                    await self.import_main()
                    yield self
            finally:
                for mover in self._movers:
                    await mover.end()
                collecting.cancel()
                await asyncio.gather(collecting, return_exceptions=True)

    def another(self, name: str) -> MoverProcess:
        """Not started yet; of the same site: with the same store and sealing key."""
        made = MoverProcess(
            self.nats, self.directory / name, self.hypervisor.address, self.directory / "site.sqlite"
        )
        if self._movers:
            made.data.mkdir(mode=0o700)
            shutil.copy(self._movers[0].data / "sealing.key", made.data)
        self._movers.append(made)
        return made

    async def import_main(self) -> repository_pb2.Repository:
        request = repository_pb2.ImportRepositoryRequest(
            display_name="main", url=self.place.as_uri(), secret=PASSPHRASE
        )
        return await self.repositories.ImportRepository(request, timeout=PATIENCE_S)

    async def ask(self, spec: transfer_pb2.TransferSpec, transfer_id: str = "") -> str:
        """Put a transfer into the site's queue; its id."""
        work = work_pb2.TransferRequested(transfer_id=transfer_id or str(uuid.uuid4()), spec=spec)
        await self._publish(work, subjects.of_work("home", "transfer"))
        return work.transfer_id

    async def back_up(self, **more: Any) -> str:
        backup = transfer_pb2.BackupSpec(
            vm=VM,
            repository="main",
            method=capture_pb2.METHOD_NORMAL,
            policy="nightly",
            run="runs/1",
            connections_per_disk=2,
            **more,
        )
        return await self.ask(transfer_pb2.TransferSpec(backup=backup))

    async def restore(self, point_id: str) -> str:
        restore = transfer_pb2.RestoreSpec(repository="main", point_id=point_id)
        restore.placement.pool = POOL
        return await self.ask(transfer_pb2.TransferSpec(restore=restore))

    async def cancel(self, transfer_id: str) -> None:
        event = scheduler_events.TransferCancelRequested(transfer_id=transfer_id)
        await self._publish(event, subjects.of_event(type(event)))

    async def ended(self, transfer_id: str) -> Any:
        """The event with which the transfer ended."""
        name = f"transfers/{transfer_id}"
        return await self.event(ENDS, lambda event: event.transfer == name)

    async def backed_up(self, **more: Any) -> transfer_pb2.TransferResult:
        """What a backup came to; fails with what it failed with."""
        return await self.finished(await self.back_up(**more))

    async def finished(self, transfer_id: str) -> transfer_pb2.TransferResult:
        end = await self.ended(transfer_id)
        assert isinstance(end, events_pb2.TransferFinished), f"{end}\n{self.mover.log.read_text()[-4000:]}"
        return end.result

    async def event(
        self,
        kinds: type[Message] | tuple[type[Message], ...],
        wanted: Callable[[Any], bool] = lambda _: True,
    ) -> Any:
        """The first event of those kinds, past or to come."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                self._news.clear()
                for event in self.events:
                    if isinstance(event, kinds) and wanted(event):
                        return event
                await self._news.wait()

    async def status(self) -> repository_pb2.Repository:
        """Of the repository."""
        request = repository_pb2.GetRepositoryRequest(name="main")
        return await self.repositories.GetRepository(request, timeout=PATIENCE_S)

    def told(self, kind: type[Message]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    def source(self, transfer_id: str) -> str:
        return f"{POOL}/backupSources/{transfer_id}"

    async def until(self, condition: Callable[[], bool]) -> None:
        """Returns when ``condition`` holds; for what no event tells: files."""
        await until_true(condition)

    def checkpoints(self, transfer_id: str) -> list[int]:
        folder = self.place / "checkpoints" / transfer_id
        names = os.listdir(folder) if folder.is_dir() else []
        return sorted(int(name) for name in names if name.isdecimal())

    async def _publish(self, message: Message, subject: str) -> None:
        envelope = cloudevents.wrap(
            message, id=str(uuid.uuid4()), source="xenkeep://test", subject_id="", time=datetime.now(UTC)
        )
        await self.bus.publish(subject, envelope.body, envelope.headers, envelope.id)

    async def _collect(self, bus: Bus) -> None:
        kinds = [getattr(events_pb2, name) for name in events_pb2.DESCRIPTOR.message_types_by_name]
        since = datetime(2020, 1, 1, tzinfo=UTC)
        async for event, _ in tail(bus, kinds, since=since):
            self.events.append(event)
            self._news.set()
