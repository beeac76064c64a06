"""Regard for the pool: what hinders a snapshot, that it is told of and that its end is; migrations."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select

from services.chassis.clock import FakeClock, SystemClock
from services.chassis.errors import ResourceExhausted
from services.chassis.ids import RandomIds
from services.chassis.tables import OUTBOX
from services.hypervisor.adapters.memory_objects import MemoryVm
from services.hypervisor.adapters.memory_pool import MemoryPool
from services.hypervisor.adapters.tables import HINDERED
from services.hypervisor.app.shares import HELD_FOR
from services.hypervisor.domain.capture import Options
from services.hypervisor.domain.care import (
    CareLimits,
    Chain,
    Room,
    SnapshotFacts,
    hindrance,
    snapshot_cost,
)
from services.hypervisor.domain.source import SourceState
from services.hypervisor.domain.tracking import FullReason
from services.hypervisor.domain.vm import Method, PowerState
from tests.support.hypervisor_house import POOL_ID, House, house
from tests.support.waiting import until
from tests.unit.hypervisor.made import vm as inventory_vm

GIB = 1 << 30
LIMITS = CareLimits(longest_chain=24, most_uncoalesced=3, reserve_percent=2)
FULL = SnapshotFacts((), (Room("Shared", 100 * GIB, 99 * GIB, 0),))
NOTHING = SnapshotFacts((), ())
OTHER_SOURCE = str(uuid.uuid4())


def _facts(*, length: int = 1, uncoalesced: int = 0, free_gib: int = 50, cost: int = 0) -> SnapshotFacts:
    chain = Chain("root", "Shared", length, uncoalesced)
    return SnapshotFacts((chain,), (Room("Shared", 100 * GIB, (100 - free_gib) * GIB, cost),))


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (_facts(), None),
        (_facts(length=23), None),
        (_facts(length=24), "DISK_CHAIN_LONG"),
        (_facts(uncoalesced=3), None),
        (_facts(uncoalesced=4), "SR_COALESCING"),
        (_facts(free_gib=2), None),
        (_facts(free_gib=1), "SR_SPACE_LOW"),
        (_facts(cost=48 * GIB), None),
        (_facts(cost=49 * GIB), "SR_SPACE_LOW"),
        (SnapshotFacts((), (Room("Tells nothing", 0, 0, GIB),)), None),
        (SnapshotFacts((), (), migrating=True), "VM_MIGRATING"),
    ],
)
def test_what_hinders_a_snapshot(facts: SnapshotFacts, reason: str | None) -> None:
    found = hindrance(facts, LIMITS)
    assert (found.reason if found else None) == reason
    assert found is None or (found.message.endswith(".") and found.hint)


def test_sizes_are_told_as_people_read_them() -> None:
    found = hindrance(_facts(free_gib=1, cost=3 * 2**20), LIMITS)
    assert found is not None
    assert found.message == (
        "Storage repository 'Shared' has 1.0 GiB free; the snapshot may take 3.0 MiB, "
        "and 2.0 GiB are to stay free."
    )


def test_a_thick_snapshot_may_cost_the_whole_disk_and_a_thin_one_next_to_nothing() -> None:
    assert 10 * GIB < snapshot_cost(True, 10 * GIB) < 10.1 * GIB
    assert snapshot_cost(False, 10 * GIB) < GIB / 1000
    assert snapshot_cost(True, 0) > 0


@pytest.fixture
def pool() -> MemoryPool:
    return MemoryPool(SystemClock(), RandomIds())


@pytest.fixture
def vm(pool: MemoryPool) -> MemoryVm:
    return pool.add_vm("web", pool.add_disk("root"))


@pytest.fixture
async def inside(pool: MemoryPool, vm: MemoryVm, tmp_path: Path) -> AsyncIterator[House]:
    async with house(tmp_path, pool) as made:
        await _told(pool, made, vm.vm_id)
        yield made


async def _told(pool: MemoryPool, inside: House, vm_id: str, storage_changes: int = 1) -> None:
    """The inventory knows the VM."""
    watch = inside.pools.find(POOL_ID)
    watch.looked.clear()
    vms = {vm_id: inventory_vm(vm_id, pool_id=POOL_ID)}
    await pool.pictures.put(replace(pool.picture(), vms=vms, storage_changes=storage_changes))
    await watch.looked.wait()


async def _open(inside: House, vm: MemoryVm, id: str = "", *, block: bool = False) -> str:
    id = id or str(uuid.uuid4())
    options = Options(block_migrations=block)
    await inside.sources.open(POOL_ID, vm.vm_id, id, Method.NORMAL, (), FullReason.FIRST_BACKUP, options)
    return id


async def _published(inside: House) -> list[str]:
    async with inside.database.read() as reader:
        rows = await reader.execute(select(OUTBOX.c.subject).order_by(OUTBOX.c.position))
        return [str(subject).rpartition(".")[2] for subject in rows.scalars()]


async def test_a_hindered_vm_gets_no_snapshot_and_it_is_told_once(
    inside: House, pool: MemoryPool, vm: MemoryVm
) -> None:
    pool.facts[vm.vm_id] = FULL
    for _ in range(2):
        with pytest.raises(ResourceExhausted) as refused:
            await _open(inside, vm)
        assert refused.value.reason == "SR_SPACE_LOW"
    assert [vm] == list(pool.vms.values())
    assert (await _published(inside)).count("SnapshotHindered") == 1


async def test_that_it_is_possible_is_told_as_soon_as_the_pool_tells_of_its_storage(
    inside: House, pool: MemoryPool, vm: MemoryVm, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool.facts[vm.vm_id] = FULL
    with pytest.raises(ResourceExhausted):
        await _open(inside, vm)
    await inside.care.look(POOL_ID)
    assert "SnapshotPossible" not in await _published(inside)
    pool.facts[vm.vm_id] = NOTHING
    look, looked = inside.care.look, asyncio.Event()

    async def noticed(pool_id: str) -> None:
        await look(pool_id)
        looked.set()

    monkeypatch.setattr(inside.care, "look", noticed)
    looking = asyncio.create_task(inside.care.run())
    seen = replace(pool.picture(), vms={vm.vm_id: inventory_vm(vm.vm_id, pool_id=POOL_ID)}, storage_changes=2)
    await pool.pictures.put(seen)
    await looked.wait()
    assert (await _published(inside))[-1] == "SnapshotPossible"
    looking.cancel()
    await asyncio.gather(looking, return_exceptions=True)
    await _open(inside, vm)


async def _asked_and_refused(inside: House, vm: MemoryVm) -> None:
    with pytest.raises(ResourceExhausted):
        await _open(inside, vm)


async def test_the_next_process_knows_who_waits_and_tells_when_it_is_over(
    pool: MemoryPool, vm: MemoryVm, tmp_path: Path
) -> None:
    pool.facts[vm.vm_id] = FULL
    async with house(tmp_path, pool) as before:
        await _told(pool, before, vm.vm_id)
        await _asked_and_refused(before, vm)
    pool.facts[vm.vm_id] = NOTHING
    async with house(tmp_path, pool) as inside:
        looking = asyncio.create_task(inside.care.run())
        await _told(pool, inside, vm.vm_id, storage_changes=0)  # that the pool answers is enough

        async def told() -> bool:
            return "SnapshotPossible" in await _published(inside)

        await until(told)
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
        assert ["SnapshotHindered", "SnapshotPossible"] == [
            each for each in await _published(inside) if each.startswith("Snapshot")
        ]
        await inside.care.look(POOL_ID)
        assert 1 == (await _published(inside)).count("SnapshotPossible")


async def test_the_next_process_does_not_tell_again_what_was_told(
    pool: MemoryPool, vm: MemoryVm, tmp_path: Path
) -> None:
    pool.facts[vm.vm_id] = FULL
    for _ in range(2):
        async with house(tmp_path, pool) as inside:
            await _told(pool, inside, vm.vm_id)
            await _asked_and_refused(inside, vm)
    async with house(tmp_path, pool) as inside:
        assert 1 == (await _published(inside)).count("SnapshotHindered")


async def test_a_vm_that_was_snapshotted_after_all_waits_no_longer(
    inside: House, pool: MemoryPool, vm: MemoryVm
) -> None:
    pool.facts[vm.vm_id] = FULL
    await _asked_and_refused(inside, vm)
    pool.facts[vm.vm_id] = NOTHING
    await _open(inside, vm)
    await inside.care.look(POOL_ID)
    assert "SnapshotPossible" not in await _published(inside)


async def test_a_pool_that_is_removed_takes_those_who_wait_along(
    inside: House, pool: MemoryPool, vm: MemoryVm
) -> None:
    pool.facts[vm.vm_id] = FULL
    await _asked_and_refused(inside, vm)
    await inside.pools.remove(POOL_ID)
    async with inside.database.read() as reader:
        assert [] == list((await reader.execute(select(HINDERED))).all())
    await inside.care.look(POOL_ID)
    assert "SnapshotPossible" not in await _published(inside)


async def test_a_snapshot_that_exists_already_is_not_refused(
    inside: House, pool: MemoryPool, vm: MemoryVm
) -> None:
    id = str(uuid.uuid4())
    await pool.take_snapshot(vm.vm_id, id, ())
    pool.facts[vm.vm_id] = FULL
    await _open(inside, vm, id)


async def test_connections_are_shared_given_back_and_refused_when_spent(
    inside: House, pool: MemoryPool, vm: MemoryVm
) -> None:
    opened = [await _open(inside, vm) for _ in range(3)]
    shares = []
    for id in opened:
        readable = await inside.sources.get(POOL_ID, id, 4)
        shares += [endpoint.max_connections for each in readable.endpoints.values() for endpoint in each]
    assert shares == [4, 4, 4]
    with pytest.raises(ResourceExhausted) as refused:
        await _open(inside, vm)
    assert refused.value.reason == "NBD_CONNECTIONS_SPENT"
    await inside.sources.close(POOL_ID, opened[0], True)
    await inside.care.look(POOL_ID)
    assert (await _published(inside))[-1] == "SnapshotPossible"
    await _open(inside, vm)


async def test_a_share_nobody_renews_lapses(pool: MemoryPool, vm: MemoryVm, tmp_path: Path) -> None:
    clock = FakeClock(SystemClock().now())
    async with house(tmp_path, pool, clock=clock) as inside:
        for _ in range(3):
            await inside.sources.get(POOL_ID, await _open(inside, vm), 4)
        with pytest.raises(ResourceExhausted):
            await _open(inside, vm)
        await clock.advance(HELD_FOR.total_seconds())
        await _open(inside, vm)


async def test_migrations_are_blocked_until_the_source_is_closed_and_others_blocks_stay(
    inside: House, pool: MemoryPool, vm: MemoryVm
) -> None:
    pool.blocks[vm.vm_id, "pool_migrate"] = "somebody"
    id = await _open(inside, vm, block=True)
    assert pool.blocks == {(vm.vm_id, "pool_migrate"): "somebody", (vm.vm_id, "migrate_send"): id}
    await inside.sources.close(POOL_ID, id, True)
    assert pool.blocks == {(vm.vm_id, "pool_migrate"): "somebody"}


async def test_a_snapshot_is_not_removed_while_the_pool_copies_its_disks_elsewhere(
    inside: House, pool: MemoryPool, vm: MemoryVm
) -> None:
    id = await _open(inside, vm)
    pool.moving.add(vm.vm_id)
    await inside.sources.close(POOL_ID, id, True)
    assert [id] == [each.source_id for each in pool.vms.values() if each.source_id]
    await inside.janitor.clean(POOL_ID, search=True)
    assert [SourceState.CLOSING] == [each.state for each in await inside.source_store.unfinished(POOL_ID)]
    pool.moving.clear()
    await inside.janitor.clean(POOL_ID, search=False)
    assert () == await inside.source_store.unfinished(POOL_ID)
    assert [""] == [each.source_id for each in pool.vms.values()]


async def test_nothing_is_blocked_unless_the_policy_says_so_but_moves_of_disks_of_a_vm_that_is_off(
    inside: House, pool: MemoryPool, vm: MemoryVm
) -> None:
    off = await _open(inside, vm)
    assert {(vm.vm_id, "migrate_send"): off} == pool.blocks
    await inside.sources.close(POOL_ID, off, committed=False)
    vm.power_state = PowerState.RUNNING
    await _open(inside, vm)
    assert pool.blocks == {}


async def test_the_janitor_removes_blocks_nobody_needs(inside: House, pool: MemoryPool, vm: MemoryVm) -> None:
    needed = await _open(inside, vm, block=True)
    other = pool.add_vm("restored", pool.add_disk("copy"))
    pool.blocks[other.vm_id, "pool_migrate"] = needed
    pool.blocks[other.vm_id, "migrate_send"] = OTHER_SOURCE
    await inside.janitor.clean(POOL_ID, search=True)
    assert {vm_id for vm_id, _ in pool.blocks} == {vm.vm_id}
    source = await inside.source_store.get(needed)
    assert source is not None
    assert source.state is SourceState.OPEN
