"""The law of ports.guests.GuestPower."""

import asyncio
import uuid

import pytest

from services.chassis.errors import FailedPrecondition, NotFound
from services.hypervisor.domain.vm import PowerState
from tests.contract.hypervisor.worlds import World
from tests.support.waiting import PATIENCE_S


async def _power(world: World, vm_id: str) -> PowerState:
    return (await world.pool.guest(vm_id)).power_state


async def _running(world: World) -> str:
    vm_id = await world.new_vm()
    await world.start(vm_id)
    return vm_id


async def test_a_guest_with_tools_can_be_asked_to_shut_down(world: World) -> None:
    vm_id = await _running(world)
    guest = await world.pool.guest(vm_id)
    assert (PowerState.RUNNING, "") == (guest.power_state, guest.shutdown_obstacle)
    assert guest.quiesce_obstacle
    with pytest.raises(NotFound):
        await world.pool.guest(str(uuid.uuid4()))


async def test_asked_it_shuts_down_and_starts_where_it_was(world: World) -> None:
    vm_id = await _running(world)
    before = await world.pool.guest(vm_id)
    for _ in range(2):
        assert "" == await world.pool.ask_to_shut_down(vm_id, 30.0)
        assert PowerState.HALTED is await _power(world, vm_id)
    for _ in range(2):
        await world.pool.start_again(vm_id, before.host_id)
        assert before == await world.pool.guest(vm_id)


async def test_where_it_was_need_not_exist_any_more(world: World) -> None:
    vm_id = await world.new_vm()
    await world.pool.start_again(vm_id, str(uuid.uuid4()))
    assert PowerState.RUNNING is await _power(world, vm_id)


async def test_a_vm_that_is_gone_is_not_started(world: World) -> None:
    await world.pool.start_again(str(uuid.uuid4()), "")


async def test_a_guest_that_refuses_stays_on_and_can_be_switched_off(world: World) -> None:
    vm_id = await _running(world)
    await world.refuses_to_shut_down(vm_id, 0.0)
    assert await world.pool.ask_to_shut_down(vm_id, 30.0)
    assert PowerState.RUNNING is await _power(world, vm_id)
    for _ in range(2):
        await world.pool.switch_off(vm_id)
        assert PowerState.HALTED is await _power(world, vm_id)


async def test_a_request_that_takes_too_long_is_withdrawn(world: World) -> None:
    vm_id = await _running(world)
    await world.refuses_to_shut_down(vm_id, 600.0)
    assert "after 0.5 s" in await world.pool.ask_to_shut_down(vm_id, 0.5)
    assert PowerState.RUNNING is await _power(world, vm_id)
    snapshot = await asyncio.wait_for(world.pool.take_snapshot(vm_id, str(uuid.uuid4()), ()), PATIENCE_S)
    assert PowerState.RUNNING is snapshot.power_state


async def test_a_snapshot_is_there_once_it_was_taken(world: World) -> None:
    vm_id, source = await world.new_vm(), str(uuid.uuid4())
    assert not await world.pool.has_snapshot(vm_id, source)
    await world.pool.take_snapshot(vm_id, source, ())
    assert await world.pool.has_snapshot(vm_id, source)
    await world.pool.remove_snapshot(source, keep_tracking=False)
    assert not await world.pool.has_snapshot(vm_id, source)


async def test_a_pool_that_cannot_quiesce_says_so_and_leaves_nothing(world: World) -> None:
    vm_id, source = await world.new_vm(), str(uuid.uuid4())
    with pytest.raises(FailedPrecondition):
        await world.pool.take_snapshot(vm_id, source, (), quiesce=True)
    assert not await world.pool.has_snapshot(vm_id, source)


async def test_the_storage_repository_of_a_disk_has_a_name(world: World) -> None:
    shape = await world.pool.shape(await world.new_vm())
    assert {"Shared storage"} == {disk.sr_display_name for disk in shape.disks}
