"""A mover without sockets: books, repositories and the hypervisor service in memory."""

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from services.chassis.clock import FakeClock
from services.chassis.config import Secret
from services.mover.adapters.memory_books import MemoryBooks
from services.mover.adapters.memory_hypervisor import MemoryDisks, MemoryHypervisor
from services.mover.app.backup import BackupRunner
from services.mover.app.board import Board
from services.mover.app.cancellation import Cancellation
from services.mover.app.restore import RestoreRunner
from services.mover.app.shelf import Shelf
from services.mover.domain.capture import Method
from services.mover.domain.outcome import Outcome
from services.mover.domain.placement import Mode, Placement
from services.mover.domain.repository import Registration
from services.mover.domain.transfer import Backup, Restore, Transfer
from services.mover.ports.books import SealedSecret
from services.mover.repository import (
    Argon2Cost,
    BackupOptions,
    MemoryStore,
    Repository,
    RestoreOptions,
    Store,
    create_repository,
)

KIB = 1 << 10
CHUNK = 64 * KIB
POOL, VM = "pools/pool-1", "pools/pool-1/vms/vm-1"
CHEAP = Argon2Cost(time=1, memory_kib=64, lanes=1)


def transfer_id(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


def noise(size: int, seed: int = 1) -> bytearray:
    return bytearray(random.Random(seed).randbytes(size))


class PlainSealing:
    """Seals nothing."""

    def seal(self, secret: Secret, context: str) -> bytes:
        return secret.reveal().encode()

    def open(self, sealed: bytes, context: str) -> Secret:
        return Secret(sealed.decode())


class MemoryPlaces:
    """One store a URL, for as long as the test lasts."""

    def __init__(self) -> None:
        self.stores: dict[str, MemoryStore] = {}

    def location(self, url: str) -> str:
        return url

    def open(
        self, url: str, *, create: bool = False, on_notice: Callable[[str, str], None] | None = None
    ) -> Store:
        return self.stores.setdefault(url, MemoryStore())


@dataclass
class World:
    """One repository, one VM with two disks."""

    directory: Path
    store: MemoryStore = field(default_factory=MemoryStore)
    books: MemoryBooks = field(default_factory=MemoryBooks)
    clock: FakeClock = field(default_factory=FakeClock)
    unchanged_chunks: int = 0

    def __post_init__(self) -> None:
        self.hypervisor = MemoryHypervisor(
            {"disk-a": noise(5 * CHUNK), "disk-b": bytearray(3 * CHUNK) + noise(CHUNK, 2)}
        )
        self.disks = MemoryDisks(self.hypervisor)
        self.places = MemoryPlaces()
        self.shelf = Shelf(self.books, PlainSealing(), self.places, self.directory)

    async def open(self) -> "World":
        self.repository: Repository = create_repository(
            self.store, "correct horse", self.directory, chunk_bytes=CHUNK, cost=CHEAP
        )[0]
        registration = Registration(self.repository.repository_id, "main", "memory:", self.clock.now())
        async with self.books.writing() as work:
            await work.repositories.put(registration, SealedSecret(b"correct horse"))
        self.shelf.put(self.repository)
        return self

    def backup_runner(self) -> BackupRunner:
        def options(connections: int) -> BackupOptions:
            return BackupOptions(
                readers=connections, checkpoint_seconds=0, unchanged_chunks=self.unchanged_chunks
            )

        return BackupRunner(self.shelf, self.hypervisor, self.disks, options, self.clock)

    def restore_runner(self) -> RestoreRunner:
        return RestoreRunner(self.shelf, self.hypervisor, self.disks, RestoreOptions(), self.clock)

    async def back_up(
        self,
        number: int = 1,
        *,
        full: bool = False,
        cancel: Cancellation | None = None,
        attempt: int = 1,
        skips: bool = False,
    ) -> Outcome:
        spec = Backup(
            VM,
            "main",
            Method.NORMAL,
            full=full,
            policy="nightly",
            run="runs/1",
            connections=2,
            skips_failed_disks=skips,
        )
        transfer = Transfer(transfer_id(number), spec, self.clock.now(), attempt=attempt)
        return await self.backup_runner()(transfer, spec, Board(), cancel or Cancellation())

    async def restore(
        self,
        number: int,
        point: int,
        *,
        board: Board | None = None,
        cancel: Cancellation | None = None,
        attempt: int = 1,
    ) -> Outcome:
        spec = Restore("main", transfer_id(point), Placement(POOL, Mode.NEW_VM))
        transfer = Transfer(transfer_id(number), spec, self.clock.now(), attempt=attempt)
        return await self.restore_runner()(transfer, spec, board or Board(), cancel or Cancellation())

    def restored(self, number: int) -> dict[str, str]:
        """SHA-256 of what a restore wrote, by disk."""
        written = self.hypervisor.written[f"{POOL}/restoreTargets/{transfer_id(number)}"]
        return {disk_id: sha256(disk.content) for disk_id, disk in written.items()}

    def now(self) -> dict[str, str]:
        """SHA-256 of the VM's disks now."""
        return {disk_id: sha256(content) for disk_id, content in self.hypervisor.disks.items()}


def sha256(content: bytes | bytearray) -> str:
    return hashlib.sha256(content).hexdigest()
