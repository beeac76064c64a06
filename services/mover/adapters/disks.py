"""Disks of open sources and targets, connected to from threads of this process."""

import asyncio
from collections.abc import Awaitable, Sequence
from typing import TypeVar

from services.chassis.errors import NotFound
from services.mover.adapters.grpc_hypervisor import GrpcHypervisor
from services.mover.adapters.http_disk_target import HttpDiskTarget
from services.mover.adapters.nbd_endpoint import NbdEndpoint
from services.mover.adapters.nbd_pool import NbdPool
from services.mover.adapters.nbd_supply import NbdPoolOptions
from services.mover.adapters.write_endpoint import WriteEndpoint

T = TypeVar("T")
REFRESH_SECONDS = 180.0


class HypervisorDisks:
    """``ports.neighbours.Disks``; where a disk is now is asked of the hypervisor service whenever needed."""

    def __init__(self, hypervisor: GrpcHypervisor, loop: asyncio.AbstractEventLoop) -> None:
        self._hypervisor = hypervisor
        self._loop = loop

    def source(self, source: str, disk_id: str, size_bytes: int, connections: int) -> NbdPool:
        def refresh() -> Sequence[NbdEndpoint]:
            return self._ask(self._hypervisor.nbd_endpoints(source, disk_id))

        return NbdPool(size_bytes, refresh(), refresh, NbdPoolOptions(connections=connections))

    def target(self, target: str, disk_id: str, size_bytes: int) -> HttpDiskTarget:
        def refresh() -> Sequence[WriteEndpoint]:
            endpoint = self._ask(self._hypervisor.write_endpoint(target, disk_id))
            if endpoint is None:
                raise NotFound(f"{target} has no disk {disk_id} any more.", reason="TARGET_DISK_GONE")
            return [endpoint]

        return HttpDiskTarget(size_bytes, refresh(), refresh)

    def _ask(self, question: Awaitable[T]) -> T:
        """From a thread: the answer of the event loop."""

        async def ask() -> T:
            return await question

        return asyncio.run_coroutine_threadsafe(ask(), self._loop).result(REFRESH_SECONDS)
