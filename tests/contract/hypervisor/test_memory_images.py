"""The law of ports.pool about memory: snapshots with it, and VMs that are made with it."""

import uuid

import pytest

from services.chassis.errors import FailedPrecondition
from services.hypervisor.domain import memory
from services.hypervisor.domain.configuration import ConfiguredDisk
from services.hypervisor.domain.vm import PowerState
from tests.contract.hypervisor.worlds import World

SIZE = 16 * 1024 * 1024


def _id() -> str:
    return str(uuid.uuid4())


async def _running(world: World) -> str:
    vm_id = await world.new_vm()
    await world.start(vm_id)
    return vm_id


async def _power(world: World, vm_id: str) -> PowerState:
    return (await world.pool.guest(vm_id)).power_state


async def test_a_snapshot_with_memory_has_an_image_and_the_vm_runs_on(world: World) -> None:
    vm_id, source = await _running(world), _id()
    assert "" == (await world.pool.guest(vm_id)).memory_obstacle
    snapshot = await world.pool.take_snapshot(vm_id, source, (), memory=True)
    again = await world.pool.take_snapshot(vm_id, source, ())
    assert snapshot.memory is not None and snapshot.memory == again.memory
    assert snapshot.memory.size_bytes > 0 and snapshot.memory.size_bytes % 512 == 0
    assert PowerState.RUNNING is await _power(world, vm_id)
    image = snapshot.memory.snapshot_disk_id
    assert (await world.pool.nbd_endpoints((image,)))[image]
    left = await world.pool.leftovers()
    assert source in left.source_ids and source in left.own_ids
    for _ in range(2):
        await world.pool.remove_snapshot(source, keep_tracking=True)
    assert not await world.exists(image)
    assert source not in (await world.pool.leftovers()).source_ids


async def test_a_vm_that_is_off_has_no_memory(world: World) -> None:
    vm_id, source = await world.new_vm(), _id()
    assert (await world.pool.guest(vm_id)).memory_obstacle
    await world.without_memory(vm_id)
    with pytest.raises(FailedPrecondition) as refused:
        await world.pool.take_snapshot(vm_id, source, (), memory=True)
    assert memory.IMPOSSIBLE == refused.value.reason
    assert refused.value.metadata["why"]
    assert not await world.pool.has_snapshot(vm_id, source)


async def test_a_vm_that_was_left_suspended_goes_on_where_it_was(world: World) -> None:
    vm_id = await _running(world)
    before = await world.pool.guest(vm_id)
    await world.suspend(vm_id)
    assert await world.pool.suspend_image(vm_id)
    for _ in range(2):
        await world.pool.resume_again(vm_id, before.host_id)
        assert before == await world.pool.guest(vm_id)
        assert "" == await world.pool.suspend_image(vm_id)


async def test_only_a_suspended_vm_is_resumed(world: World) -> None:
    vm_id = await world.new_vm()
    await world.pool.resume_again(vm_id, "")
    assert PowerState.HALTED is await _power(world, vm_id)
    await world.pool.resume_again(_id(), "")


async def test_a_vm_is_made_with_its_memory_and_resumed(world: World) -> None:
    vm_id, source, target = await _running(world), _id(), _id()
    snapshot = await world.pool.take_snapshot(vm_id, source, (), memory=True)
    assert snapshot.memory is not None
    archive = await world.pool.export_configuration(vm_id)
    disks = [disk.configured for disk in (await world.pool.shape(vm_id)).disks]
    image = snapshot.memory
    disks.append(ConfiguredDisk(image.snapshot_disk_id, memory.DEVICE, "Memory", "", (), image.sr_id))
    sr = await world.pool.choose_sr("", disks[0].sr_id)
    sizes = {image.snapshot_disk_id: image.size_bytes}
    new = {
        disk.disk_id: (await world.pool.make_disk(target, disk, sizes.get(disk.disk_id, SIZE), sr)).disk_id
        for disk in disks
    }
    await world.copy_memory(image.snapshot_disk_id, new[image.snapshot_disk_id])
    await world.pool.import_vm(target, archive, new, f"copy {target}", None, memory=image.snapshot_disk_id)
    made = await world.pool.find_vm(target)
    assert made is not None
    assert PowerState.SUSPENDED is await _power(world, made)
    assert new[image.snapshot_disk_id] == await world.pool.suspend_image(made)
    await world.pool.release(target, made)
    assert target not in (await world.pool.leftovers()).target_ids
    for _ in range(2):
        await world.pool.start_vm(made)
    assert PowerState.RUNNING is await _power(world, made)
    assert not await world.exists(new[image.snapshot_disk_id])
    await world.pool.remove_snapshot(source, keep_tracking=False)


async def test_a_vm_that_was_made_with_its_memory_is_removed_with_it(world: World) -> None:
    vm_id, source, target = await _running(world), _id(), _id()
    snapshot = await world.pool.take_snapshot(vm_id, source, (), memory=True)
    assert snapshot.memory is not None
    archive = await world.pool.export_configuration(vm_id)
    image = snapshot.memory
    sr = await world.pool.choose_sr("", image.sr_id)
    disk = ConfiguredDisk(image.snapshot_disk_id, memory.DEVICE, "Memory", "", (), image.sr_id)
    new = {disk.disk_id: (await world.pool.make_disk(target, disk, SIZE, sr)).disk_id}
    await world.pool.import_vm(target, archive, new, f"copy {target}", None, memory=disk.disk_id)
    made = await world.pool.find_vm(target)
    assert made is not None
    for _ in range(2):
        await world.pool.remove_target(target)
    assert not await world.has_vm(made)
    assert not await world.exists(new[disk.disk_id])
    await world.pool.remove_snapshot(source, keep_tracking=False)


async def test_what_processors_the_hosts_have_is_told(world: World) -> None:
    cpus = await world.pool.host_cpus()
    assert cpus and all(cpu.vendor and cpu.features_hvm for cpu in cpus)
