"""The law of ports.Restores."""

import uuid

import pytest

from services.chassis.errors import Aborted, NotFound
from services.hypervisor.domain.configuration import ConfiguredDisk
from tests.contract.hypervisor.worlds import World

SIZE = 16 * 1024 * 1024


def _id() -> str:
    return str(uuid.uuid4())


async def _disks(world: World, vm_id: str) -> list[ConfiguredDisk]:
    return [disk.configured for disk in (await world.pool.shape(vm_id)).disks]


async def _made(world: World, target_id: str, disks: list[ConfiguredDisk]) -> dict[str, str]:
    sr = await world.pool.choose_sr("", disks[0].sr_id)
    return {disk.disk_id: (await world.pool.make_disk(target_id, disk, SIZE, sr)).disk_id for disk in disks}


async def test_storage_is_chosen_by_wish_then_origin_then_default(world: World) -> None:
    sr = (await _disks(world, await world.new_vm()))[0].sr_id
    assert sr == await world.pool.choose_sr("Shared storage", _id())
    assert sr == await world.pool.choose_sr(sr, "")
    assert sr == await world.pool.choose_sr("", sr)
    assert await world.pool.choose_sr("", _id())
    with pytest.raises(NotFound):
        await world.pool.choose_sr("Nowhere", sr)


async def test_a_disk_is_made_once(world: World) -> None:
    target, disks = _id(), await _disks(world, await world.new_vm())
    first = await _made(world, target, disks)
    assert first == await _made(world, target, disks)
    assert 2 == len(set(first.values()))
    left = await world.pool.leftovers()
    assert target in left.target_ids and target in left.own_ids
    for _ in range(2):
        await world.pool.remove_target(target)
    for disk in first.values():
        assert not await world.exists(disk)


async def test_a_ticket_tells_when_the_disk_is_written(world: World) -> None:
    target, disks = _id(), await _disks(world, await world.new_vm())
    disk = (await _made(world, target, disks[:1]))[disks[0].disk_id]
    ticket = await world.pool.open_ticket(disk)
    assert await world.pool.ticket_state(ticket) is None
    await world.write((await world.pool.write_endpoints(disk, ticket))[0])
    assert await world.pool.ticket_state(ticket) is True
    again = await world.pool.open_ticket(disk)
    with pytest.raises(Aborted):
        await world.pool.ticket_state(ticket)
    for _ in range(2):
        await world.pool.drop_tickets(disk)
    with pytest.raises(Aborted):
        await world.pool.ticket_state(again)
    await world.pool.remove_target(target)


async def test_a_new_vm_has_the_new_disks_at_the_old_places(world: World) -> None:
    vm_id, target = await world.new_vm(), _id()
    disks = await _disks(world, vm_id)
    archive = await world.pool.export_configuration(vm_id)
    new = await _made(world, target, disks)
    await world.pool.import_vm(target, archive, new, f"copy {target}", None)
    made = await world.pool.find_vm(target)
    assert made is not None and made != vm_id
    attached = await world.pool.attached_disks(made)
    assert {(new[disk.disk_id], disk.device) for disk in disks} == {
        (disk.disk_id, disk.device) for disk in attached or ()
    }
    await world.pool.release(target, made)
    assert await world.pool.find_vm(target) is None
    await world.pool.remove_target(target)
    assert await world.has_vm(made)
    assert target not in (await world.pool.leftovers()).target_ids


async def test_a_new_vm_is_given_the_addresses_of_the_old_one(world: World) -> None:
    vm_id, target = await world.new_vm(), _id()
    shape = await world.pool.shape(vm_id)
    archive = await world.pool.export_configuration(vm_id)
    await world.pool.import_vm(target, archive, {}, f"copy {target}", None)
    made = await world.pool.find_vm(target)
    assert made is not None
    assert shape.interfaces != (await world.pool.shape(made)).interfaces
    for _ in range(2):
        await world.pool.set_macs(made, shape.interfaces)
    assert shape.interfaces == (await world.pool.shape(made)).interfaces
    await world.pool.remove_target(target)
    assert not await world.has_vm(made)


async def test_a_disk_that_is_not_given_is_left_out(world: World) -> None:
    vm_id, target = await world.new_vm(), _id()
    disks = await _disks(world, vm_id)
    archive = await world.pool.export_configuration(vm_id)
    new = await _made(world, target, disks[1:])
    await world.pool.import_vm(target, archive, new, f"copy {target}", None)
    made = await world.pool.find_vm(target)
    assert made is not None
    assert ["1"] == [disk.device for disk in await world.pool.attached_disks(made) or ()]
    await world.pool.remove_target(target)


async def test_the_original_is_replaced_and_its_disks_are_left(world: World) -> None:
    vm_id, target = await world.new_vm(), _id()
    disks = await _disks(world, vm_id)
    archive = await world.pool.export_configuration(vm_id)
    new = await _made(world, target, disks)
    await world.start(vm_id)
    await world.pool.shut_down(vm_id, 30)
    assert await world.pool.shut_down(vm_id, 30)
    await world.pool.import_vm(target, archive, new, "", vm_id)
    assert vm_id == await world.pool.find_vm(target)
    attached = {disk.disk_id for disk in await world.pool.attached_disks(vm_id) or ()}
    assert set(new.values()) == attached
    for disk in disks:
        assert await world.exists(disk.disk_id)
    await world.pool.release(target, vm_id)
    assert () == await world.pool.remove_replaced(tuple(disk.disk_id for disk in disks))
    for disk in disks:
        assert not await world.exists(disk.disk_id)
    await world.pool.start_vm(vm_id)
    await world.pool.start_vm(vm_id)


async def test_an_original_that_is_gone_is_made_again(world: World) -> None:
    vm_id, target = await world.new_vm(), _id()
    disks = await _disks(world, vm_id)
    archive = await world.pool.export_configuration(vm_id)
    await world.remove_vm(vm_id)
    assert await world.pool.attached_disks(vm_id) is None
    new = await _made(world, target, disks)
    await world.pool.import_vm(target, archive, new, "", vm_id)
    assert vm_id == await world.pool.find_vm(target)


async def test_a_disk_a_vm_uses_is_never_removed(world: World) -> None:
    disks = await _disks(world, await world.new_vm())
    ids = tuple(disk.disk_id for disk in disks)
    assert ids == await world.pool.remove_replaced(ids)
    for id in ids:
        assert await world.exists(id)
