"""The notifier as a process of its own, which can be killed."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from grpc_health.v1 import health_pb2, health_pb2_grpc
from xenkeep.notifier.v1.notifier_pb2_grpc import ChannelServiceStub

from services.chassis.rpc.channel import channel
from tests.support.nats import NatsServer
from tests.support.ports import free_port
from tests.support.waiting import PATIENCE_S
from tests.support.warm import WarmProcess, start

if TYPE_CHECKING:
    from xenkeep.notifier.v1.notifier_pb2_grpc import ChannelServiceAsyncStub


async def _serving(stub: "health_pb2_grpc.HealthAsyncStub") -> None:
    request = health_pb2.HealthCheckRequest()
    async for answer in stub.Watch(request, timeout=PATIENCE_S, wait_for_ready=True):
        if answer.status == health_pb2.HealthCheckResponse.SERVING:
            return


class NotifierProcess:
    """`start` returns when it serves; its files survive `kill`."""

    def __init__(self, nats: NatsServer, data_dir: Path, channel_files: Path) -> None:
        self._nats = nats
        self._data_dir = data_dir
        self._channel_files = channel_files
        self._target = f"127.0.0.1:{free_port()}"
        self._process: WarmProcess | None = None
        self.log = data_dir.with_suffix(".log")

    async def start(self) -> None:
        tls = self._nats.tls("notifier")
        environment = os.environ | {
            "XENKEEP_LISTEN": self._target,
            "XENKEEP_DATA_DIR": str(self._data_dir),
            "XENKEEP_TLS_CA": str(tls.ca),
            "XENKEEP_TLS_CERT": str(tls.cert),
            "XENKEEP_TLS_KEY": str(tls.key),
            "XENKEEP_NATS_URL": self._nats.url,
            "XENKEEP_LOG_LEVEL": "debug",
            "XENKEEP_CHANNEL_FILES_DIR": str(self._channel_files),
        }
        with self.log.open("ab") as log:
            said = log.fileno()
            self._process = start(
                "services.notifier.__main__:main", env=environment, stdout=said, stderr=said
            )
        async with channel(self._target, self._nats.tls("admin")) as way:
            serving = asyncio.create_task(_serving(health_pb2_grpc.HealthStub(way)))
            ended = asyncio.create_task(self._process.wait())
            await asyncio.wait({serving, ended}, return_when=asyncio.FIRST_COMPLETED)
            assert not ended.done(), f"the notifier ended: {self.log.read_text()}"
            ended.cancel()
            await serving

    @asynccontextmanager
    async def stub(self) -> AsyncIterator["ChannelServiceAsyncStub"]:
        async with channel(self._target, self._nats.tls("admin")) as way:
            yield ChannelServiceStub(way)

    async def kill(self) -> None:
        await self._end(signal.SIGKILL)

    async def stop(self) -> int:
        """SIGTERM; the exit code."""
        return await self._end(signal.SIGTERM)

    async def _end(self, number: signal.Signals) -> int:
        process, self._process = self._process, None
        if process is None:
            return 0
        if process.returncode is None:
            process.send_signal(number)
        return await process.wait()
