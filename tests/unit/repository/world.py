"""What the repository's tests share: disks in memory, a quick repository, and how to drive both."""

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from services.chassis.clock import FakeClock
from services.mover.repository import (
    Argon2Cost,
    BackupOptions,
    BackupSession,
    DiskRequest,
    Extent,
    MemoryStore,
    PointDescription,
    PruneOptions,
    Repository,
    RestorePoint,
    Store,
    create_repository,
    open_repository,
)
from services.mover.repository.format.names import PACKS

PASSPHRASE = "correct horse battery"
QUICK = Argon2Cost(time=1, memory_kib=64, lanes=1)
KIB = 1 << 10
MIB = 1 << 20
BLOCK = 64 * KIB
NOW = PruneOptions(grace_seconds=0, patience_seconds=0)
"""What may go goes, and nobody is waited for."""
OPTIONS = BackupOptions(readers=2, workers=2, uploads=1, checkpoint_seconds=0)


def flipped(data: bytes, at: int) -> bytes:
    """The same with one bit another, whatever it was."""
    return data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :]


@dataclass
class MemoryDisk:
    """A disk to back up; remembers what was read, and may fail or call back at a read."""

    content: bytes
    read: list[tuple[int, int]] = field(default_factory=list)
    on_read: Callable[[int], None] | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def read_into(self, offset: int, buffer: memoryview) -> None:
        with self.lock:
            self.read.append((offset, len(buffer)))
        if self.on_read is not None:
            self.on_read(offset)
        assert offset + len(buffer) <= len(self.content)
        buffer[:] = self.content[offset : offset + len(buffer)]

    @property
    def bytes_read(self) -> int:
        return sum(length for _, length in self.read)


class MemoryTarget:
    """A disk being restored; what nobody writes is zero."""

    def __init__(self, size: int) -> None:
        self.content = bytearray(size)
        self.writes: list[tuple[int, int]] = []

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        self.writes.append((offset, len(data)))
        self.content[offset : offset + len(data)] = data


def description(**changes: object) -> PointDescription:
    values: dict[str, object] = {
        "asset": {"id": "vm-1", "name": "Büro <1>"},
        "method": "normal",
        "consistency": "crash",
        "snapshot_time": "2026-01-01T00:00:00Z",
        "commit_time": "2026-01-01T00:05:00Z",
        "document": {"policy": "nightly"},
    }
    return PointDescription(**(values | changes))  # type: ignore[arg-type]


def new_repository(
    store: Store, cache: Path, chunk_bytes: int = MIB, pack_bytes: int = 4 * MIB
) -> Repository:
    repository, _ = create_repository(
        store, PASSPHRASE, cache, chunk_bytes=chunk_bytes, pack_bytes=pack_bytes, cost=QUICK, time=FakeClock()
    )
    return repository


def reopen(store: Store, cache: Path, secret: str = PASSPHRASE) -> Repository:
    return open_repository(store, secret, cache, time=FakeClock())


def back_up(
    repository: Repository,
    point_id: str,
    content: bytes,
    *,
    base: str | None = None,
    changed: list[tuple[int, int]] | None = None,
    disk: MemoryDisk | None = None,
    transfer: str | None = None,
    options: BackupOptions = OPTIONS,
) -> RestorePoint:
    """One disk ``d`` with ``content``, incremental when there is a base."""
    with repository.begin_backup(point_id, base, transfer_id=transfer, options=options) as session:
        add_disk(session, content, base=base, changed=changed, disk=disk)
        return session.commit(description())


def add_disk(
    session: BackupSession,
    content: bytes,
    *,
    base: str | None = None,
    changed: list[tuple[int, int]] | None = None,
    disk: MemoryDisk | None = None,
) -> None:
    extents = None if changed is None else tuple(Extent(*extent) for extent in changed)
    request = DiskRequest(
        "d", len(content), extents, base_disk="d" if base else None, source_ref="snapshot-1"
    )
    session.disk(request, disk or MemoryDisk(content))


def restored(repository: Repository, point_id: str, disk_id: str = "d") -> bytes:
    disk = repository.get_point(point_id).disk(disk_id)
    assert disk is not None
    target = MemoryTarget(disk.size_bytes)
    repository.restore_disk(point_id, disk_id, target)
    extents = sorted((extent.offset, extent.end) for extent in repository.data_extents(point_id, disk_id))
    assert sum(end - start for start, end in extents) == sum(length for _, length in target.writes)
    return bytes(target.content)


def packs(store: MemoryStore, kind: str = "") -> list[str]:
    """Names of the packs, or of those of a kind, in order."""
    return sorted(name for name in store.objects if name.startswith(PACKS + kind))


def noise(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


def overwritten(content: bytes, changes: dict[int, bytes]) -> bytes:
    result = bytearray(content)
    for offset, data in changes.items():
        result[offset : offset + len(data)] = data
    return bytes(result)
