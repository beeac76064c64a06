"""The law of ports about formats of images, on a release whose storage makes QCOW2."""

import uuid
from collections.abc import AsyncIterator, Iterator

import pytest

from services.chassis.clock import SystemClock
from services.chassis.config import Secret
from services.chassis.errors import FailedPrecondition, NotFound
from services.chassis.ids import RandomIds
from services.hypervisor.adapters.memory_pool import MemoryPool
from services.hypervisor.domain.configuration import ConfiguredDisk
from services.hypervisor.domain.extents import BLOCK_BYTES, changed_extents
from tests.contract.hypervisor.conftest import connected
from tests.contract.hypervisor.worlds import MemoryWorld, SimulatedWorld, World
from tests.support.pool import PASSWORD, SimulatedPool, vm

TIB = 1 << 40
LARGE = 3 * TIB
FAR = 2 * TIB // BLOCK_BYTES + 5


class LargeMemoryWorld(MemoryWorld):
    """Its storage makes both formats, or VHDs."""

    async def new_vm(self) -> str:
        self.pool.sr_formats = {"sr-1": ("vhd", "qcow2"), "sr-2": ("vhd",)}
        self.pool.layered = False
        self.pool.srs["sr-2"] = "Plain storage"
        disk = self.pool.add_disk("large", LARGE)
        disk.image_format = "qcow2"
        return self.pool.add_vm("vm", disk).vm_id


class LargeSimulatedWorld(SimulatedWorld):
    """A clone's image tells its format after a scan."""

    async def new_vm(self) -> str:
        vm_id = await super().new_vm()
        for sr in self._call("SR.get_by_name_label", "Shared storage"):
            self._call("SR.scan", sr)
        return vm_id


@pytest.fixture(scope="module")
def newer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatedPool]:
    """A VM with a QCOW2 disk of 3 TiB."""
    disks = [{"name": "large", "size_bytes": LARGE}]
    described = vm("web", host=None) | {"disks": disks}
    pool = SimulatedPool(tmp_path_factory.mktemp("sim"), 2, [described], overrides={"version": "26.17"})
    pool.start()
    yield pool
    pool.stop()


@pytest.fixture(params=["memory", "simulated"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    if request.param == "memory":
        yield LargeMemoryWorld(MemoryPool(SystemClock(), RandomIds()))
        return
    simulated: SimulatedPool = request.getfixturevalue("newer")
    gateway, pool = await connected(simulated)
    connection = gateway.connect(pool, Secret(PASSWORD))
    yield LargeSimulatedWorld(connection, simulated)
    await connection.close()


def _id() -> str:
    return str(uuid.uuid4())


async def _disk(world: World) -> ConfiguredDisk:
    [disk] = (await world.pool.shape(await world.new_vm())).disks
    return disk.configured


async def _plain(world: World) -> str:
    return await world.pool.choose_sr("Plain storage", "")


def _blocks(bitmap: bytes | str) -> list[int]:
    assert isinstance(bitmap, bytes), bitmap
    extents = changed_extents(bitmap, LARGE, LARGE)
    return [
        block
        for extent in extents
        for block in range(
            extent.offset_bytes // BLOCK_BYTES, (extent.offset_bytes + extent.length_bytes) // BLOCK_BYTES
        )
    ]


async def test_a_disk_tells_its_format_and_storage_what_it_makes(world: World) -> None:
    disk = await _disk(world)
    assert "qcow2" == disk.image_format
    storage = await world.pool.disk_storage(disk.sr_id)
    assert ("Shared storage", {"vhd", "qcow2"}) == (storage.display_name, set(storage.image_formats or ()))
    plain = await world.pool.disk_storage(await _plain(world))
    assert ("Plain storage", ("vhd",)) == (plain.display_name, plain.image_formats)
    with pytest.raises(NotFound):
        await world.pool.disk_storage(_id())


async def test_what_was_ever_written_of_a_large_disk_is_told_to_64_kib(world: World) -> None:
    vm_id, source = await world.new_vm(), _id()
    disk = (await world.pool.shape(vm_id)).disks[0].configured.disk_id
    for block in (7, FAR):
        await world.guest_writes(disk, block)
    [snapshot] = (await world.pool.take_snapshot(vm_id, source, ())).disks
    assert [7, FAR] == _blocks(await world.pool.allocated_blocks(snapshot.snapshot_disk_id))
    layers = await world.pool.layers(snapshot.snapshot_disk_id)
    assert layers is not None and not layers.can_be_base, "a QCOW2 is never kept with its data"
    await world.pool.remove_snapshot(source, keep_tracking=False)


async def test_changes_of_a_large_disk_are_tracked(world: World) -> None:
    vm_id, one, other = await world.new_vm(), _id(), _id()
    disk = (await world.pool.shape(vm_id)).disks[0].configured.disk_id
    await world.pool.track(disk)
    [base] = (await world.pool.take_snapshot(vm_id, one, ())).disks
    await world.guest_writes(disk, FAR)
    await world.pool.remove_snapshot(one, keep_tracking=True)
    [new] = (await world.pool.take_snapshot(vm_id, other, ())).disks
    told = await world.pool.changed_blocks(base.snapshot_disk_id, new.snapshot_disk_id)
    assert [FAR] == _blocks(told)
    for source in (one, other):
        await world.pool.remove_snapshot(source, keep_tracking=False)


@pytest.mark.parametrize("wanted", ["vhd", "qcow2"])
async def test_a_disk_is_made_in_the_format_that_is_asked_for(world: World, wanted: str) -> None:
    disk, target = await _disk(world), _id()
    made = await world.pool.make_disk(target, disk, 16 << 20, disk.sr_id, wanted)
    assert wanted == made.image_format
    assert made == await world.pool.make_disk(target, disk, 16 << 20, disk.sr_id, wanted)
    await world.pool.remove_target(target)


async def test_a_large_disk_is_made_where_it_can_be(world: World) -> None:
    disk, target = await _disk(world), _id()
    made = await world.pool.make_disk(target, disk, LARGE, disk.sr_id, "qcow2")
    assert "qcow2" == made.image_format
    await world.pool.remove_target(target)
    for asked in ("", "qcow2"):
        with pytest.raises(FailedPrecondition) as refused:
            await world.pool.make_disk(target, disk, LARGE, await _plain(world), asked)
        assert refused.value.reason in ("DISK_TOO_LARGE", "DISK_FORMAT_UNKNOWN")
    assert target not in (await world.pool.leftovers()).target_ids


async def test_older_releases_know_vhds_only_and_do_not_speak_of_it(simulated: SimulatedPool) -> None:
    gateway, pool = await connected(simulated)
    connection = gateway.connect(pool, Secret(PASSWORD))
    world, target = SimulatedWorld(connection, simulated), _id()
    disk = (await connection.shape(await world.new_vm())).disks[0].configured
    assert "" == disk.image_format
    assert ("vhd",) == (await connection.disk_storage(disk.sr_id)).image_formats
    assert "" == (await connection.make_disk(target, disk, 16 << 20, disk.sr_id)).image_format
    await connection.remove_target(target)
    with pytest.raises(FailedPrecondition) as refused:
        await connection.make_disk(target, disk, LARGE, disk.sr_id, "qcow2")
    assert "DISK_TOO_LARGE" == refused.value.reason
    await connection.close()
