"""The law of ports.Snapshots and ports.Leavings."""

import uuid

import pytest

from services.chassis.errors import InvalidInput, NotFound
from services.hypervisor.domain.extents import BLOCK_BYTES, changed_extents
from services.hypervisor.domain.tracking import Tracking
from services.hypervisor.domain.vm import PowerState
from services.hypervisor.ports.snapshots import Snapshot
from tests.contract.hypervisor.worlds import World


def _id() -> str:
    return str(uuid.uuid4())


async def _tracked(world: World, vm_id: str) -> list[str]:
    disks = [disk.configured.disk_id for disk in (await world.pool.shape(vm_id)).disks]
    for disk in disks:
        await world.pool.track(disk)
    return disks


async def _changed(world: World, base: Snapshot, new: Snapshot) -> list[int]:
    one, other = base.disks[0], new.disks[0]
    told = await world.pool.changed_blocks(one.snapshot_disk_id, other.snapshot_disk_id)
    assert isinstance(told, bytes)
    size = other.facts.size_bytes
    return [
        block
        for extent in changed_extents(told, size, size)
        for block in range(
            extent.offset_bytes // BLOCK_BYTES, (extent.offset_bytes + extent.length_bytes) // BLOCK_BYTES
        )
    ]


async def test_a_vm_has_its_disks_by_device(world: World) -> None:
    shape = await world.pool.shape(await world.new_vm())
    assert ["0", "1"] == [disk.configured.device for disk in shape.disks]
    assert ["", ""] == [disk.obstacle for disk in shape.disks]
    assert ["0"] == [interface.device for interface in shape.interfaces]


async def test_an_unknown_vm_is_not_found_and_a_snapshot_is_no_vm(world: World) -> None:
    with pytest.raises(NotFound):
        await world.pool.shape(_id())
    source = _id()
    snapshot = await world.pool.take_snapshot(await world.new_vm(), source, ())
    with pytest.raises(InvalidInput):
        await world.pool.shape(snapshot.snapshot_vm_id)
    await world.pool.remove_snapshot(source, keep_tracking=False)


async def test_tracking_is_switched_on_once(world: World) -> None:
    vm_id = await world.new_vm()
    disk = (await world.pool.shape(vm_id)).disks[0].configured.disk_id
    assert Tracking.SWITCHED_ON is (await world.pool.track(disk)).tracking
    assert Tracking.ON is (await world.pool.track(disk)).tracking


async def test_a_snapshot_is_taken_once_and_knows_its_disks(world: World) -> None:
    vm_id, source = await world.new_vm(), _id()
    disks = await _tracked(world, vm_id)
    first = await world.pool.take_snapshot(vm_id, source, ())
    again = await world.pool.take_snapshot(vm_id, source, ())
    assert first.disks == again.disks
    assert first.snapshot_vm_id == again.snapshot_vm_id
    assert disks == [disk.facts.disk_id for disk in first.disks]
    assert all(disk.facts.tracked for disk in first.disks)
    assert PowerState.HALTED is first.power_state
    await world.pool.remove_snapshot(source, keep_tracking=False)


async def test_disks_that_are_left_out_are_not_in_the_snapshot(world: World) -> None:
    vm_id, source = await world.new_vm(), _id()
    disks = [disk.configured.disk_id for disk in (await world.pool.shape(vm_id)).disks]
    snapshot = await world.pool.take_snapshot(vm_id, source, [disks[0]])
    assert [disks[1]] == [disk.facts.disk_id for disk in snapshot.disks]
    await world.pool.remove_snapshot(source, keep_tracking=False)


async def test_blocks_that_changed_between_snapshots_are_told(world: World) -> None:
    vm_id, one, other = await world.new_vm(), _id(), _id()
    disk = (await _tracked(world, vm_id))[0]
    base = await world.pool.take_snapshot(vm_id, one, ())
    await world.guest_writes(disk, 5)
    await world.guest_writes(disk, 200)
    new = await world.pool.take_snapshot(vm_id, other, ())
    assert [5, 200] == await _changed(world, base, new)
    await world.pool.remove_snapshot(one, keep_tracking=True)
    assert [5, 200] == await _changed(world, base, new)
    for source in (one, other):
        await world.pool.remove_snapshot(source, keep_tracking=False)


async def test_the_pool_says_so_in_words_when_it_cannot_tell_what_changed(world: World) -> None:
    vm_id, one, other = await world.new_vm(), _id(), _id()
    base = await world.pool.take_snapshot(vm_id, one, ())
    await _tracked(world, vm_id)
    new = await world.pool.take_snapshot(vm_id, other, ())
    told = await world.pool.changed_blocks(base.disks[0].snapshot_disk_id, new.disks[0].snapshot_disk_id)
    assert isinstance(told, str) and "unrelated" in told
    for source in (one, other):
        await world.pool.remove_snapshot(source, keep_tracking=False)


async def test_keeping_tracking_keeps_the_newest_alone_and_no_data(world: World) -> None:
    vm_id, one, other = await world.new_vm(), _id(), _id()
    await _tracked(world, vm_id)
    first = await world.pool.take_snapshot(vm_id, one, ())
    await world.pool.remove_snapshot(one, keep_tracking=True)
    second = await world.pool.take_snapshot(vm_id, other, ())
    for _ in range(2):
        await world.pool.remove_snapshot(other, keep_tracking=True)
    for disk in first.disks:
        assert await world.pool.tracked_disk(disk.snapshot_disk_id) is None
    for disk in second.disks:
        assert disk.facts == await world.pool.tracked_disk(disk.snapshot_disk_id)
        layers = await world.pool.layers(disk.snapshot_disk_id)
        assert layers is not None and not layers.has_data
    assert not await world.has_vm(second.snapshot_vm_id)
    assert other not in (await world.pool.leftovers()).source_ids


async def test_removing_without_keeping_leaves_nothing(world: World) -> None:
    vm_id, source = await world.new_vm(), _id()
    await _tracked(world, vm_id)
    snapshot = await world.pool.take_snapshot(vm_id, source, ())
    left = await world.pool.leftovers()
    assert source in left.source_ids and source in left.own_ids
    for _ in range(2):
        await world.pool.remove_snapshot(source, keep_tracking=False)
    for disk in snapshot.disks:
        assert not await world.exists(disk.snapshot_disk_id)
    assert source not in (await world.pool.leftovers()).source_ids


async def test_a_snapshot_can_be_read_somewhere(world: World) -> None:
    vm_id, source = await world.new_vm(), _id()
    await world.pool.assert_readable()
    snapshot = await world.pool.take_snapshot(vm_id, source, ())
    ids = tuple(disk.snapshot_disk_id for disk in snapshot.disks)
    found = await world.pool.nbd_endpoints((*ids, _id()))
    assert all(found[id] for id in ids)
    assert [()] == [endpoints for id, endpoints in found.items() if id not in ids]
    await world.pool.remove_snapshot(source, keep_tracking=False)


async def test_tracking_data_of_disks_that_are_gone_is_removed(world: World) -> None:
    vm_id, source = await world.new_vm(), _id()
    disks = await _tracked(world, vm_id)
    snapshot = await world.pool.take_snapshot(vm_id, source, ())
    await world.pool.remove_snapshot(source, keep_tracking=True)
    await world.remove_vm(vm_id)
    assert () == await world.pool.remove_replaced(tuple(disks[:1]))
    assert not await world.exists(snapshot.disks[0].snapshot_disk_id)
    assert await world.exists(snapshot.disks[1].snapshot_disk_id)


async def test_what_was_ever_written_is_told(world: World) -> None:
    vm_id, source = await world.new_vm(), _id()
    disk = (await world.pool.shape(vm_id)).disks[0].configured.disk_id
    await world.guest_writes(disk, 40)
    snapshot = (await world.pool.take_snapshot(vm_id, source, ())).disks[0]
    told = await world.pool.allocated_blocks(snapshot.snapshot_disk_id)
    if isinstance(told, bytes):
        assert told[40 // 8] & 0x80 >> 40 % 8
    else:
        assert told
    assert isinstance(await world.pool.allocated_blocks(_id()), str)
    await world.pool.remove_snapshot(source, keep_tracking=False)
