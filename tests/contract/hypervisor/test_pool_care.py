"""The law of ports.care."""

import asyncio
import uuid
from functools import partial

import pytest
from xenkeep.simulator.v1 import simulator_pb2

from services.chassis.config import Secret
from services.chassis.errors import NotFound, ResourceExhausted
from services.hypervisor.domain.care import Moves
from tests.contract.hypervisor.conftest import connected
from tests.contract.hypervisor.worlds import SimulatedWorld, World
from tests.support.pool import PASSWORD, SimulatedPool, simulator
from tests.support.waiting import until


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


@pytest.mark.parametrize("moves", Moves)
async def test_a_block_is_that_of_its_source_and_goes_with_it(world: World, moves: Moves) -> None:
    vm_id, source, other = await world.new_vm(), str(uuid.uuid4()), str(uuid.uuid4())
    await world.pool.block_migrations(vm_id, source, moves)
    await world.pool.block_migrations(vm_id, source, moves)
    await world.pool.allow_migrations(vm_id, other)
    assert (vm_id, source) in await world.pool.migration_blocks()
    await world.pool.allow_migrations(vm_id, source)
    await world.pool.allow_migrations(vm_id, source)
    assert (vm_id, source) not in await world.pool.migration_blocks()


async def test_a_vm_is_off_until_it_is_started(world: World) -> None:
    vm_id = await world.new_vm()
    assert await world.pool.is_off(vm_id)
    await world.start(vm_id)
    assert not await world.pool.is_off(vm_id)


async def test_migrations_of_a_vm_that_is_gone_are_not_blocked(world: World) -> None:
    vm_id = await world.new_vm()
    await world.remove_vm(vm_id)
    source = str(uuid.uuid4())
    await world.pool.block_migrations(vm_id, source, Moves.ANY)
    assert (vm_id, source) not in await world.pool.migration_blocks()
    await world.pool.allow_migrations(vm_id, source)
    assert not await world.pool.is_off(vm_id)


async def test_snapshots_lengthen_a_chain_until_it_is_coalesced(simulated: SimulatedPool) -> None:
    """Of a pool alone: the one in memory has no storage manager."""
    gateway, told = await connected(simulated)
    pool = gateway.connect(told, Secret(PASSWORD))
    world = SimulatedWorld(pool, simulated)
    vm_id = await world.new_vm()
    disks = [disk.configured.disk_id for disk in (await pool.shape(vm_id)).disks]

    async def lengths() -> list[int]:
        return [chain.length for chain in (await pool.snapshot_facts(vm_id, ())).chains]

    async def coalesced() -> bool:
        return await lengths() == before

    before = await lengths()
    sources = [str(uuid.uuid4()) for _ in range(2)]
    for source in sources:
        for disk in disks:  # what is snapshotted twice unwritten shares its images
            await world.guest_writes(disk, 0)
        await pool.take_snapshot(vm_id, source, ())
    facts = await pool.snapshot_facts(vm_id, ())
    assert [length + 2 for length in before] == [chain.length for chain in facts.chains]
    assert {0} == {chain.uncoalesced for chain in facts.chains}
    assert 1 == len((await pool.snapshot_facts(vm_id, disks[1:])).chains)
    for source in sources:
        await pool.remove_snapshot(source, keep_tracking=False)
    await until(coalesced)
    await pool.close()


async def test_the_disks_of_a_vm_at_rest_and_of_one_that_is_gone_are_not_moving(world: World) -> None:
    assert not await world.pool.moves_disks(await world.new_vm())
    assert not await world.pool.moves_disks(str(uuid.uuid4()))


async def test_a_snapshot_does_not_wait_in_the_pool_for_a_migration(simulated: SimulatedPool) -> None:
    gateway, told = await connected(simulated)
    pool = gateway.connect(told, Secret(PASSWORD))
    world = SimulatedWorld(pool, simulated)
    vm_id, source = await world.new_vm(), str(uuid.uuid4())
    await world.start(vm_id)
    [disk, *_] = [disk.configured.disk_id for disk in (await pool.shape(vm_id)).disks]
    async with simulated.control() as channel:
        stub = simulator(channel)
        await stub.HoldMigrations(simulator_pb2.HoldMigrationsRequest(held=True))
        request = simulator_pb2.MigrateDiskRequest(disk_id=disk, storage="Plain storage")
        moving = asyncio.ensure_future(stub.MigrateDisk(request))
        await until(partial(pool.moves_disks, vm_id))
        assert (await pool.snapshot_facts(vm_id, ())).migrating
        for memory in (False, True):
            with pytest.raises(ResourceExhausted) as refused:
                await pool.take_snapshot(vm_id, source, (), memory=memory)
            assert "VM_MIGRATING" == refused.value.reason
        await stub.HoldMigrations(simulator_pb2.HoldMigrationsRequest(held=False))
        await moving
    assert not (await pool.snapshot_facts(vm_id, ())).migrating
    assert not await pool.has_snapshot(vm_id, source)
    await pool.close()
