"""A mover's door for copies, without the rest of a mover, and a repository that sends to it."""

import asyncio
import random
import threading
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import grpc
from xenkeep.mover.v1.replica_pb2_grpc import add_ReplicaServiceServicer_to_server

from services.chassis.clock import SystemClock
from services.chassis.rpc.server import RpcServer
from services.mover.adapters.copy_targets import GrpcAndStoreTargets
from services.mover.adapters.stores import Stores
from services.mover.api.replicas import ReplicaApi
from services.mover.app.arrivals import Arrivals
from services.mover.app.guests import Guests
from services.mover.app.replicas import Replicas
from services.mover.domain.rates import UNLIMITED, RateLimits
from services.mover.repository import CopyReport, DirectoryStore, Repository, Store, open_repository
from tests.support.pki import tls_for
from tests.unit.repository.world import PASSPHRASE, back_up, new_repository, reopen

MIB = 1 << 20


class ReplicaSite:
    """Keeps copies under ``folder``; knows no key."""

    def __init__(self, folder: Path, listen: str = "127.0.0.1:0", guests: Guests | None = None) -> None:
        self.folder, self._listen = folder, listen
        self._guests = guests or Guests(SystemClock())
        self.copies = folder / "copies"
        self.arriving = folder / "arriving"

    @asynccontextmanager
    async def serving(self, where: bool = True, lacks: Collection[str] = ()) -> AsyncIterator[str]:
        """Its address; methods it ``lacks`` are those of a later release."""
        replicas = Replicas(
            Stores(),
            self.copies.as_uri() if where else None,
            Arrivals(self.arriving, SystemClock()),
            self._guests,
        )
        tls = tls_for(self.folder.parent / "pki", "mover")
        services = [(partial(_add_without, lacks), ReplicaApi(replicas), {"mover"})]
        async with RpcServer(self._listen, tls, services) as server:
            self._listen = f"127.0.0.1:{server.port}"
            yield self._listen

    def copy(self, repository: Repository) -> Path:
        return self.copies / repository.repository_id

    def opened(self, repository: Repository, cache: Path) -> Repository:
        """The copy, by somebody who has a key."""
        return open_repository(DirectoryStore(self.copy(repository)), PASSPHRASE, cache)


@dataclass(frozen=True)
class _Without(grpc.ServiceRpcHandler):
    """A service but for some of its methods."""

    inner: Any
    lacks: Collection[str]

    def service_name(self) -> str:
        return str(self.inner.service_name())

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        lacking = str(handler_call_details.method).rpartition("/")[2] in self.lacks
        return None if lacking else self.inner.service(handler_call_details)


class _Adding:
    def __init__(self, server: Any, lacks: Collection[str]) -> None:
        self._server, self._lacks = server, lacks

    def add_generic_rpc_handlers(self, handlers: Sequence[Any]) -> None:
        self._server.add_generic_rpc_handlers(tuple(_Without(each, self._lacks) for each in handlers))

    def add_registered_method_handlers(self, service: str, handlers: object) -> None:
        """The generic ones are asked."""


def _add_without(lacks: Collection[str], servicer: Any, server: Any) -> None:
    adding: Any = _Adding(server, lacks) if lacks else server
    add_ReplicaServiceServicer_to_server(servicer, adding)


class SendingSite:
    """A repository with points of incompressible disks."""

    def __init__(self, folder: Path, pack_bytes: int = 2 * MIB) -> None:
        self.folder = folder
        made = (folder / "repository").exists()
        self.here = DirectoryStore(folder / "repository", create=True)
        self.repository = (
            reopen(self.here, folder / "cache")
            if made
            else new_repository(self.here, folder / "cache", pack_bytes=pack_bytes)
        )
        self.notices: list[tuple[str, str]] = []
        self.cancel = threading.Event()
        self.contents: dict[str, bytes] = {}

    def back_up(self, point: str, size: int, seed: int) -> None:
        self.contents[point] = random.Random(seed).randbytes(size)
        back_up(self.repository, point, self.contents[point])

    @asynccontextmanager
    async def line(self, address: str, limits: RateLimits = UNLIMITED) -> AsyncIterator[Store]:
        """The other site's store for this repository."""
        loop = asyncio.get_running_loop()
        targets = GrpcAndStoreTargets(
            Stores(), tls_for(self.folder.parent / "pki", "mover"), SystemClock(), loop
        )
        async with targets:
            yield await asyncio.to_thread(
                targets.open,
                f"mover://{address}",
                self.repository.repository_id,
                limits,
                self.cancel,
                lambda code, text: self.notices.append((code, text)),
            )

    async def copy(
        self,
        address: str,
        limits: RateLimits = UNLIMITED,
        around: Callable[[Store], Store] = lambda store: store,
    ) -> CopyReport:
        """Send everything; ``around`` may put something around the other site's store."""
        async with self.line(address, limits) as store:
            return await asyncio.to_thread(
                self.repository.copy_to, around(store), self.folder / "copies", cancel=self.cancel
            )
