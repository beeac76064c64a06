"""Makes the second golden repository: everything today's writer leaves, also when it is killed. Run once.

Run: python -m tests.contract.repository.make_golden_full <empty directory>
"""

import random
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from services.chassis.clock import FakeClock
from services.mover.repository import (
    Argon2Cost,
    BackupOptions,
    BackupSession,
    DiskRequest,
    Extent,
    MemoryStore,
    Notice,
    PointDescription,
    PruneOptions,
    Repository,
    create_repository,
)
from services.mover.repository.leases import take_lease
from services.mover.repository.leasewatch import revoke
from services.mover.repository.plans import put_plan

PASSPHRASE = "the second golden passphrase"
ADDED_PASSPHRASE = "Passwort für Köln"
KIB = 1 << 10
BLOCK = 64 * KIB
CHUNK = 4 * BLOCK
LARGE = 1030 * CHUNK + 512
"""More chunks than a page has entries."""
OPTIONS = BackupOptions(readers=1, workers=1, uploads=1, checkpoint_seconds=0)
SMALL_POINTS = tuple(f"small-{n:02}" for n in range(40))
UNFINISHED, TRANSFER = "never", "transfer-never"
COST = Argon2Cost(time=1, memory_kib=64, lanes=1)


class LockingMemory(MemoryStore):
    """A store that says it locks; nothing here would delete what it has locked."""

    lock_period: timedelta | None = timedelta(days=30)

    def __init__(self) -> None:
        super().__init__("memory:golden")
        self._until: dict[str, datetime] = {}

    def locked_until(self, name: str) -> datetime | None:
        return self._until.get(name)

    def extend_lock(self, name: str, until: datetime) -> None:
        self._until[name] = until


@dataclass(frozen=True)
class Disk:
    """Its size in bytes, and what is not zero, by number of the 64 KiB block."""

    size: int
    blocks: dict[int, bytes]

    def read_into(self, offset: int, buffer: memoryview) -> None:
        buffer[:] = bytes(len(buffer))
        for number, block in self.blocks.items():
            first = max(offset, number * BLOCK)
            last = min(offset + len(buffer), number * BLOCK + len(block))
            if first < last:
                part = block[first - number * BLOCK : last - number * BLOCK]
                buffer[first - offset : last - offset] = part

    def changed(self, blocks: dict[int, bytes]) -> "Disk":
        """With other blocks; an empty one is zero."""
        return Disk(self.size, {n: data for n, data in (self.blocks | blocks).items() if data})


def blocks_of(content: bytes | bytearray) -> dict[int, bytes]:
    """What of a disk's content is not zero."""
    zeros = bytes(BLOCK)
    found = {}
    for at in range(0, len(content), BLOCK):
        block = content[at : at + BLOCK]
        if block != zeros[: len(block)]:
            found[at // BLOCK] = bytes(block)
    return found


def text(length: int, what: str) -> bytes:
    """Compresses well."""
    line = f"{what}: the quick brown fox jumps over the lazy dog\n".encode()
    return (line * (length // len(line) + 1))[:length]


def words(length: int, seed: int) -> bytes:
    """Does not."""
    return random.Random(seed).randbytes(length)


def _blocks(what: str, *numbers: int) -> dict[int, bytes]:
    return {number: text(BLOCK, f"{what} {number}") for number in numbers}


_FULL = Disk(LARGE, blocks_of(text(CHUNK, "whole")) | _blocks("large", *range(24, 4120, 20), 4117))
_SMALL = Disk(4 * CHUNK, _blocks("first", *range(8)))
CHANGES = {
    "incremental": _blocks("changed", 0, 44, 45, 84, 4117) | {64: b"", 4120: text(512, "the end")},
    "epoch-3": _blocks("third", 46, 804),
    "healed-next": _blocks("patched", 1, 8) | {5: b""},
}
"""Blocks of a point that its base has otherwise: patches, on patches and on holes, and what became zero."""
BASES = {"incremental": "full", "epoch-3": "incremental", "healed-next": "healed"}


def disks() -> dict[str, dict[str, Disk]]:
    """Of each point its disks by name."""
    zero = Disk(3 * BLOCK, {})
    incremental = _FULL.changed(CHANGES["incremental"])
    points = {
        "full": {"large": _FULL, "zero": zero, "none": Disk(0, {})},
        "incremental": {"large": incremental, "zero": zero},
        "epoch-3": {"large": incremental.changed(CHANGES["epoch-3"])},
        "healed": {"small": _SMALL},
        "healing": {"small": _SMALL},
        "healed-next": {"small": _SMALL.changed(CHANGES["healed-next"])},
        UNFINISHED: {"small": Disk(2 * CHUNK, blocks_of(words(2 * CHUNK, 9)))},
        "trashed": {"small": Disk(CHUNK, _blocks("trashed", 2))},
    }
    return points | {name: {"small": Disk(CHUNK, _blocks(name, 0))} for name in SMALL_POINTS}


def streams() -> dict[str, dict[str, tuple[str, bytes]]]:
    """Of each point its streams by name: kind and content. The memory image is of several pieces."""
    memory = text(3 << 20, "memory") + words(40 * KIB, 7)
    return {
        "full": {
            "memory": ("memory", memory),
            "vm-configuration": ("", b"<vm/>"),
            "empty": ("file", b""),
        },
        "incremental": {"vm-configuration": ("", b"<vm again/>")},
    }


def add_disk(
    session: BackupSession, name: str, disk: Disk, read: Iterable[int], base: str | None = None
) -> None:
    extents = tuple(Extent(n * BLOCK, min(BLOCK, disk.size - n * BLOCK)) for n in sorted(read))
    session.disk(DiskRequest(name, disk.size, extents, base, f"Daten {name}", "", "ref", "snap"), disk)


def description(point: str) -> PointDescription:
    return PointDescription(
        asset={"id": f"asset-{point[:5]}", "name": "Grüße"},
        method="memory" if point == "full" else "normal",
        consistency="crash",
        snapshot_time="2026-11-01T00:00:00Z",
        commit_time="2026-11-01T00:01:00Z",
        document={"point": point, "nested": [1, 2.5, None, {"ü": True}]},
        notices=(Notice("SAMPLE", "Something was less than asked."),),
    )


def back_up(repository: Repository, point: str, transfer: str | None = None, *, commit: bool = True) -> None:
    """The point as ``disks`` and ``streams`` have it; without ``commit`` a transfer that is not finished."""
    base = BASES.get(point)
    with repository.begin_backup(point, base, transfer_id=transfer, options=OPTIONS) as session:
        for name, disk in disks()[point].items():
            read = CHANGES[point] if base and disk.blocks else disk.blocks
            add_disk(session, name, disk, read, base and name)
        for name, (kind, content) in streams().get(point, {}).items():
            session.stream(name, [content] if content else [], kind)
        if commit:
            session.commit(description(point))


def make(folder: Path) -> None:
    """Deterministic in content, not in bytes: salts and keys are fresh."""
    store = LockingMemory()
    clock = FakeClock(datetime(2026, 11, 1, tzinfo=UTC))
    with tempfile.TemporaryDirectory() as cache:
        repository, recovery_key = create_repository(
            store, PASSPHRASE, Path(cache), chunk_bytes=CHUNK, pack_bytes=CHUNK, cost=COST, time=clock
        )
        with repository:
            _fill(store, repository)
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in store.objects.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    print(recovery_key)


def _fill(store: LockingMemory, repository: Repository) -> None:
    keys = repository.keys
    keys.add_passphrase("second", ADDED_PASSPHRASE, "for Ute", COST)
    keys.add_passphrase("passphrase-3", "soon removed again", "", COST)
    keys.remove_slot("passphrase-3")
    for point in SMALL_POINTS:
        back_up(repository, point)
    back_up(repository, "full")
    keys.start_epoch()
    back_up(repository, "incremental")
    store.lock_period = None  # what is locked is neither repacked nor merged
    report = repository.prune(PruneOptions(grace_seconds=3600, patience_seconds=0, retire_through=1))
    assert report.retired_epochs == (1,) and report.repacked_packs
    keys.start_epoch()
    store.lock_period = timedelta(days=30)
    back_up(repository, "epoch-3")
    back_up(repository, "trashed")
    repository.delete_point("trashed", keep=0)
    repository.prune(PruneOptions(grace_seconds=3600, patience_seconds=0))
    _damage_and_heal(store, repository)
    store.objects["features/optional.gloss"] = b""
    _leave_what_the_killed_leave(store, repository)


def _damage_and_heal(store: LockingMemory, repository: Repository) -> None:
    before = set(store.objects)
    back_up(repository, "healed")
    pack = next(name for name in sorted(set(store.objects) - before) if name.startswith("packs/data/"))
    store.objects[pack] = store.objects[pack][:300] + bytes(64) + store.objects[pack][364:]
    assert repository.verify(full=True).damaged_points
    back_up(repository, "healing")
    repository.delete_point("healing", keep=0, purge=True)
    back_up(repository, "healed-next")


def _leave_what_the_killed_leave(store: LockingMemory, repository: Repository) -> None:
    context = repository._context
    packs = [each.pack for batch in context.index.pack_batches() for each in batch]
    needed = next(pack for pack in packs if pack.kind == "data" and not pack.damaged)
    back_up(repository, UNFINISHED, TRANSFER, commit=False)
    put_plan(context, [(needed.sha256, needed.kind)])
    take_lease(context, UNFINISHED)
    revoke(context, "revoked")


if __name__ == "__main__":
    make(Path(sys.argv[1]))
