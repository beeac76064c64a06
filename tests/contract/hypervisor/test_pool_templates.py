"""The law of ports.Snapshots and ports.Restores for templates of somebody's."""

import uuid

from services.hypervisor.domain.vm import PowerState
from tests.contract.hypervisor.worlds import World


async def test_a_template_is_captured_with_its_disks_and_nothing_stays(world: World) -> None:
    vm_id, source = await world.new_vm(), str(uuid.uuid4())
    await world.make_template(vm_id)
    disks = [disk.configured.disk_id for disk in (await world.pool.shape(vm_id)).disks]
    for disk in disks:
        await world.pool.track(disk)
    assert not await world.pool.has_snapshot(vm_id, source)
    taken = await world.pool.take_snapshot(vm_id, source, ())
    assert taken.disks == (await world.pool.take_snapshot(vm_id, source, ())).disks
    assert await world.pool.has_snapshot(vm_id, source)
    assert PowerState.HALTED is taken.power_state
    assert disks == [disk.facts.disk_id for disk in taken.disks]
    assert ["0", "1"] == [disk.device for disk in taken.disks]
    assert all(disk.facts.tracked for disk in taken.disks)
    assert source in (await world.pool.leftovers()).source_ids
    await world.pool.remove_snapshot(source, keep_tracking=False)
    assert source not in (await world.pool.leftovers()).source_ids
    assert [True, True] == [await world.exists(disk) for disk in disks]
    assert [False, False] == [await world.exists(disk.snapshot_disk_id) for disk in taken.disks]


async def test_disks_that_are_left_out_are_not_captured(world: World) -> None:
    vm_id, source = await world.new_vm(), str(uuid.uuid4())
    await world.make_template(vm_id)
    first, second = [disk.configured.disk_id for disk in (await world.pool.shape(vm_id)).disks]
    taken = await world.pool.take_snapshot(vm_id, source, [first])
    assert [second] == [disk.facts.disk_id for disk in taken.disks]
    await world.pool.remove_snapshot(source, keep_tracking=False)


async def test_what_is_made_of_its_configuration_is_a_template_again(world: World) -> None:
    vm_id, target = await world.new_vm(), str(uuid.uuid4())
    await world.make_template(vm_id)
    archive = await world.pool.export_configuration(vm_id)
    await world.pool.import_vm(target, archive, {}, "again", None)
    made = await world.pool.find_vm(target)
    assert made is not None
    assert await world.is_template(made)
    assert target in (await world.pool.leftovers()).target_ids
    await world.pool.remove_target(target)
    assert not await world.has_vm(made)
