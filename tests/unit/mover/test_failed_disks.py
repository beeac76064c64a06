"""One disk that cannot be read, and the others."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from services.chassis.errors import DataLoss, NotFound, Unavailable
from services.mover.adapters.memory_hypervisor import MemoryDisks, MemorySnapshotDisk
from services.mover.domain.capture import FullReason
from services.mover.domain.source import Source
from services.mover.ports.neighbours import ReadableDisk
from tests.unit.mover.world import CHUNK, POOL, World, transfer_id


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = await World(tmp_path).open()
    async with made.shelf:
        yield made


class Failing(MemoryDisks):
    """Reading ``bad`` disks fails beyond their first chunk."""

    def __init__(self, world: World, *bad: str) -> None:
        super().__init__(world.hypervisor)
        self.world, self.bad = world, bad

    async def sources(self, source: Source, connections: int) -> Mapping[str, ReadableDisk]:
        failing = self

        class Disk(MemorySnapshotDisk):
            def __init__(self, disk_id: str, content: bytes) -> None:
                super().__init__(content)
                self.disk_id = disk_id

            def read_into(self, offset: int, buffer: memoryview) -> None:
                if self.disk_id in failing.bad and offset >= CHUNK:
                    raise DataLoss("The host cannot read the disk.", reason="NBD_READ_FAILED")
                super().read_into(offset, buffer)

        content = self.world.hypervisor.content
        return {disk.disk_id: Disk(disk.disk_id, content(disk.tracking_ref)) for disk in source.disks}


async def test_the_others_are_backed_up_and_the_point_names_the_disk(world: World) -> None:
    world.disks = Failing(world, "disk-b")
    point = (await world.back_up(1, skips=True)).result.point
    assert point is not None
    assert ["disk-a"] == [disk.disk_id for disk in point.disks]
    [missing] = point.missing_disks
    assert ("disk-b", "1", "disk 1") == (missing.disk_id, missing.device, missing.display_name)
    assert "The host cannot read the disk." in missing.message
    assert ["DISK_FAILED"] == [remark.code for remark in point.notices]
    await world.restore(2, 1)
    assert {"disk-a": world.now()["disk-a"]} == world.restored(2)


async def test_unless_the_policy_says_so_the_backup_fails(world: World) -> None:
    world.disks = Failing(world, "disk-b")
    with pytest.raises(DataLoss):
        await world.back_up(1)
    with pytest.raises(NotFound):
        world.repository.get_point(transfer_id(1))
    assert {f"{POOL}/backupSources/{transfer_id(1)}": False} == world.hypervisor.closed


async def test_a_backup_of_nothing_fails(world: World) -> None:
    world.disks = Failing(world, "disk-a", "disk-b")
    with pytest.raises(DataLoss):
        await world.back_up(1, skips=True)
    with pytest.raises(NotFound):
        world.repository.get_point(transfer_id(1))


async def test_a_repository_that_fails_is_no_disks_failure(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise Unavailable("The store is gone.", reason="STORE_GONE")

    monkeypatch.setattr(world.store, "put", full)
    with pytest.raises(Unavailable):
        await world.back_up(1, skips=True)


async def test_a_disk_that_can_be_read_again_is_read_fully_and_says_why(world: World) -> None:
    healthy = world.disks
    await world.back_up(1)
    world.disks = Failing(world, "disk-b")
    world.hypervisor.disks["disk-b"][CHUNK:] = bytes(2 * CHUNK) + b"x" * CHUNK
    await world.back_up(2, skips=True)
    world.disks = healthy
    point = (await world.back_up(3, skips=True)).result.point
    assert point is not None and () == point.missing_disks
    assert [FullReason.NONE, FullReason.BASE_POINT_UNUSABLE] == [disk.full_reason for disk in point.disks]
    await world.restore(4, 3)
    assert world.now() == world.restored(4)
