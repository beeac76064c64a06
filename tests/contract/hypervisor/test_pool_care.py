"""The law of ports.care."""

import uuid

import pytest

from services.chassis.errors import NotFound
from tests.contract.hypervisor.worlds import World


async def test_a_fresh_vm_can_bear_a_snapshot(world: World) -> None:
    facts = await world.pool.snapshot_facts(await world.new_vm(), ())
    assert all(chain.uncoalesced <= chain.length for chain in facts.chains)
    assert all(room.size_bytes - room.used_bytes > room.cost_bytes for room in facts.rooms)


async def test_the_storage_of_an_unknown_vm_is_not_found(world: World) -> None:
    vm_id = await world.new_vm()
    await world.remove_vm(vm_id)
    with pytest.raises(NotFound):
        await world.pool.snapshot_facts(vm_id, ())


async def test_there_are_hosts_to_read_through(world: World) -> None:
    assert await world.pool.reading_hosts()


async def test_a_block_is_that_of_its_source_and_goes_with_it(world: World) -> None:
    vm_id, source, other = await world.new_vm(), str(uuid.uuid4()), str(uuid.uuid4())
    await world.pool.block_migrations(vm_id, source)
    await world.pool.block_migrations(vm_id, source)
    await world.pool.allow_migrations(vm_id, other)
    assert (vm_id, source) in await world.pool.migration_blocks()
    await world.pool.allow_migrations(vm_id, source)
    await world.pool.allow_migrations(vm_id, source)
    assert (vm_id, source) not in await world.pool.migration_blocks()


async def test_migrations_of_a_vm_that_is_gone_are_not_blocked(world: World) -> None:
    vm_id = await world.new_vm()
    await world.remove_vm(vm_id)
    await world.pool.allow_migrations(vm_id, str(uuid.uuid4()))
