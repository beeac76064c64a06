"""Several disks of a VM at once: a slow one does not hold the others, the first failure stops them all."""

import threading
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import pytest

from services.chassis.errors import Cancelled, DataLoss
from services.mover.adapters.memory_hypervisor import MemoryDisks, MemorySnapshotDisk
from services.mover.app.backup_job import DISKS_AT_ONCE
from services.mover.domain.source import Source
from services.mover.ports.neighbours import ReadableDisk
from tests.unit.mover.world import CHUNK, World, noise

LONG_S = 60.0
"""Nobody waits so long but in a test that fails."""
Read = Callable[["Disk"], None]


class Disk(MemorySnapshotDisk):
    """Calls ``before`` when it is read, and ``ended`` is set when it is closed."""

    def __init__(self, disk_id: str, content: bytes, before: Read) -> None:
        super().__init__(content)
        self.disk_id, self.before = disk_id, before
        self.ended = threading.Event()
        self.closing: Callable[[], object] = lambda: None

    def read_into(self, offset: int, buffer: memoryview) -> None:
        self.before(self)
        super().read_into(offset, buffer)

    def close(self) -> None:
        super().close()
        self.closing()
        self.ended.set()


class Told(MemoryDisks):
    """Disks that do ``before`` each read."""

    def __init__(self, world: World, before: Read) -> None:
        super().__init__(world.hypervisor)
        self.world, self.before = world, before
        self.made: dict[str, Disk] = {}

    async def sources(self, source: Source, connections: int) -> Mapping[str, ReadableDisk]:
        content = self.world.hypervisor.content
        for disk in source.disks:
            self.made[disk.disk_id] = Disk(disk.disk_id, content(disk.tracking_ref), self.before)
        return dict(self.made)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = await World(tmp_path).open()
    async with made.shelf:
        yield made


async def test_a_slow_disk_does_not_hold_the_others(world: World) -> None:
    """The first disk gives nothing before all others have been read."""
    world.hypervisor.disks["disk-c"] = noise(2 * CHUNK, 3)

    def waits_for_the_others(disk: Disk) -> None:
        if disk.disk_id == "disk-a":
            assert all(disks.made[other].ended.wait(LONG_S) for other in ("disk-b", "disk-c"))

    world.disks = disks = Told(world, waits_for_the_others)
    point = (await world.back_up(1)).result.point
    assert point is not None
    assert ["disk-a", "disk-b", "disk-c"] == [disk.disk_id for disk in point.disks]
    await world.restore(2, 1)
    assert world.now() == world.restored(2)


async def test_no_more_are_read_at_once_than_said(world: World) -> None:
    for number in range(6):
        world.hypervisor.disks[f"more-{number}"] = noise(CHUNK, number)
    begun: dict[str, Disk] = {}
    at_once: list[int] = []

    def look(disk: Disk) -> None:
        begun[disk.disk_id] = disk
        at_once.append(sum(not each.ended.is_set() for each in list(begun.values())))

    world.disks = Told(world, look)
    point = (await world.back_up(1)).result.point
    assert point is not None
    assert (8, list(world.hypervisor.disks)) == (len(begun), [disk.disk_id for disk in point.disks])
    assert max(at_once) <= DISKS_AT_ONCE


async def test_a_disk_that_fails_stops_one_that_would_never_end(world: World) -> None:
    def fails_or_hangs(disk: Disk) -> None:
        if disk.disk_id == "disk-b":
            raise DataLoss("The host cannot read the disk.", reason="NBD_READ_FAILED")
        assert disk.ended.wait(LONG_S)
        raise Cancelled("The disk was closed while it was being read.", reason="SOURCE_CLOSED")

    world.disks = Told(world, fails_or_hangs)
    with pytest.raises(DataLoss, match="The host cannot read the disk"):
        await world.back_up(1)
    assert [False] == list(world.hypervisor.closed.values())


async def test_what_failed_is_told_and_not_what_it_did_to_the_others(world: World) -> None:
    """The disk that is fine hears of the failure first, and ends before the one that failed has said so."""
    world.hypervisor.disks["disk-b"][:] = noise(4 * CHUNK, 5)
    others = threading.Event()

    def fails_late(disk: Disk) -> None:
        if disk.disk_id == "disk-a" and not disks.failed:
            disks.failed = True
            raise DataLoss("The host cannot read the disk.", reason="NBD_READ_FAILED")

    class Slowly(Told):
        failed = False

        async def sources(self, source: Source, connections: int) -> Mapping[str, ReadableDisk]:
            found = await super().sources(source, connections)
            if not self.failed:
                quick, slow = self.made["disk-b"], self.made["disk-a"]
                quick.closing = others.set
                slow.closing = lambda: others.wait(LONG_S)
            return found

    world.disks = disks = Slowly(world, fails_late)
    point = (await world.back_up(1, skips=True)).result.point
    assert point is not None
    assert ["disk-a"] == [missing.disk_id for missing in point.missing_disks]
    assert ["disk-b"] == [disk.disk_id for disk in point.disks]
