"""Disks of open sources and targets, connected to from threads of this process."""

import asyncio
import concurrent.futures
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from services.chassis.errors import Cancelled, DeadlineExceeded, NotFound
from services.mover.adapters.grpc_hypervisor import GrpcHypervisor, Whereabouts
from services.mover.adapters.http_disk_target import HttpDiskTarget
from services.mover.adapters.http_opener import HttpTargetOptions
from services.mover.adapters.nbd_endpoint import NbdEndpoint
from services.mover.adapters.nbd_pool import NbdPool
from services.mover.adapters.nbd_sharing import NbdSharing
from services.mover.adapters.nbd_supply import NbdPoolOptions
from services.mover.adapters.patience import Patience
from services.mover.adapters.write_endpoint import WriteEndpoint
from services.mover.domain.source import Source, SourceDisk, Target, TargetDisk
from services.mover.notice_book import NoticeBook

T = TypeVar("T")
REFRESH_SECONDS = 180.0
LARGEST_FRAME = 1 << 20


class HypervisorDisks:
    """``ports.neighbours.Disks``; where disks are is asked of the hypervisor service whenever needed."""

    def __init__(
        self, hypervisor: GrpcHypervisor, patience: Patience, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._hypervisor = hypervisor
        self._patience = patience
        self._loop = loop

    async def sources(self, source: Source, connections: int) -> Mapping[str, NbdPool]:
        found = await self._patience.until_answered(
            lambda: self._hypervisor.whereabouts(source.name, connections)
        )
        options, sharing = NbdPoolOptions(connections=connections), NbdSharing()
        return {disk.disk_id: self._pool(source, disk, found, options, sharing) for disk in source.disks}

    async def targets(self, target: Target, frame_bytes: int) -> Mapping[str, HttpDiskTarget]:
        found = await self._patience.until_answered(lambda: self._hypervisor.write_endpoints(target.name))
        options = HttpTargetOptions(frame_bytes=min(frame_bytes, LARGEST_FRAME))
        return {disk.disk_id: _writer(disk, found.get(disk.disk_id, ()), options) for disk in target.disks}

    def _pool(
        self,
        source: Source,
        disk: SourceDisk,
        first: Whereabouts,
        options: NbdPoolOptions,
        sharing: NbdSharing,
    ) -> NbdPool:
        book = NoticeBook()

        def heard(found: Whereabouts) -> Sequence[NbdEndpoint]:
            for notice in found.notices:
                if notice not in source.notices:
                    book.add(notice.code, notice.message)
            return found.endpoints.get(disk.disk_id, ())

        def refresh() -> Sequence[NbdEndpoint]:
            return heard(self._ask(self._hypervisor.whereabouts(source.name, options.connections)))

        return NbdPool(disk.size_bytes, heard(first), refresh, options, book, sharing=sharing)

    def _ask(self, question: Coroutine[Any, Any, T]) -> T:
        """From a thread: the answer of the event loop."""
        asked = asyncio.run_coroutine_threadsafe(question, self._loop)
        try:
            return asked.result(REFRESH_SECONDS)
        except concurrent.futures.CancelledError:
            raise Cancelled("The mover stops.", reason="MOVER_STOPS") from None
        except TimeoutError:
            asked.cancel()
            raise DeadlineExceeded(
                f"The hypervisor service did not say within {REFRESH_SECONDS:g} s where the disk is.",
                reason="ENDPOINTS_NOT_TOLD",
                hint="Look at its load and its log.",
            ) from None


def _writer(
    disk: TargetDisk, endpoints: Sequence[WriteEndpoint], options: HttpTargetOptions
) -> HttpDiskTarget:
    def refresh() -> Sequence[WriteEndpoint]:
        # Asking for one disk makes void what was written on the others: that is for the whole restore to do.
        raise NotFound(
            f"Where disk {disk.disk_id} was to be written it cannot be written any more.",
            reason="WRITE_ENDPOINT_SPENT",
        )

    return HttpDiskTarget(disk.size_bytes, endpoints, refresh, options)
