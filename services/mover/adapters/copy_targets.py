"""Where copies can go."""

import asyncio
import threading
from collections.abc import Callable
from typing import Self
from urllib.parse import urlsplit

import grpc

from services.chassis.clock import Clock
from services.chassis.config import is_address
from services.chassis.errors import InvalidInput
from services.chassis.rpc.channel import channel
from services.chassis.tls import TlsFiles
from services.mover.adapters.grpc_replica import GrpcReplica
from services.mover.adapters.pace import Pace, SharedLine
from services.mover.adapters.paced_store import PacedStore
from services.mover.adapters.replica_store import ReplicaStore
from services.mover.adapters.stores import Stores
from services.mover.domain.rates import UNLIMITED, RateLimits
from services.mover.repository import Store

SCHEME = "mover"


class GrpcAndStoreTargets:
    """``ports.copies.CopyTargets``: the places repositories can be in, and movers: ``mover://host:port``.

    All copies go over one line: limits that they were given are shared. A component: closes its connections
    in the end.
    """

    def __init__(self, stores: Stores, tls: TlsFiles, clock: Clock, loop: asyncio.AbstractEventLoop) -> None:
        self._stores, self._tls, self._clock, self._loop = stores, tls, clock, loop
        self._line = SharedLine(clock)
        self._channels: dict[str, grpc.aio.Channel] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        while self._channels:
            await self._channels.popitem()[1].close()

    def location(self, url: str) -> str:
        if not _is_mover(url):
            return self._stores.location(url)
        return f"{SCHEME}://{_address(url)}"

    def open(
        self,
        url: str,
        repository_id: str,
        limits: RateLimits,
        cancel: threading.Event,
        on_notice: Callable[[str, str], None],
    ) -> Store:
        pace = Pace(limits, self._line, cancel)
        if not _is_mover(url):
            return PacedStore(self._stores.open(url, create=True, on_notice=on_notice), pace)
        address = _address(url)
        dialled = asyncio.run_coroutine_threadsafe(self._channel(address), self._loop).result()
        replica = GrpcReplica(dialled, f"The mover at {address}", repository_id, self._clock, on_notice)
        location = f"{self.location(url)}/{repository_id}"
        unlimited = Pace(UNLIMITED, self._line, cancel)
        return ReplicaStore(replica, location, self._loop, pace, unlimited, cancel)

    async def _channel(self, address: str) -> grpc.aio.Channel:
        if address not in self._channels:
            self._channels[address] = channel(address, self._tls)
        return self._channels[address]


def _is_mover(url: str) -> bool:
    return url.lower().startswith(f"{SCHEME}:")


def _address(url: str) -> str:
    try:
        parts = urlsplit(url)
        usable = is_address(parts.netloc) is None and parts.path in ("", "/")
        usable = usable and not (parts.query or parts.fragment or "@" in parts.netloc)
    except ValueError:
        usable = False
    if not usable:
        raise InvalidInput(
            f"{url[:200]!r} is not the address of a mover.",
            reason="MOVER_URL_INVALID",
            hint="Give mover://host:port, for example mover://vault.example.org:7102.",
        )
    return parts.netloc
