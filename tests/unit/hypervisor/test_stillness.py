"""VMs, or their disks, that are kept where they are while a source is read or removed."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from services.chassis.clock import SystemClock
from services.chassis.errors import PermissionDenied, Unavailable
from services.chassis.ids import RandomIds
from services.hypervisor.adapters.memory_objects import MemoryVm
from services.hypervisor.adapters.memory_pool import MemoryPool
from services.hypervisor.domain.capture import Options
from services.hypervisor.domain.source import SourceState
from services.hypervisor.domain.tracking import FullReason
from services.hypervisor.domain.vm import Method, PowerState
from tests.support.hypervisor_house import POOL_ID, House, house
from tests.support.waiting import until_true
from tests.unit.hypervisor.made import vm as inventory_vm


@pytest.fixture
def pool() -> MemoryPool:
    return MemoryPool(SystemClock(), RandomIds())


@pytest.fixture
def vm(pool: MemoryPool) -> MemoryVm:
    vm = pool.add_vm("web", pool.add_disk("root"))
    vm.power_state = PowerState.RUNNING
    return vm


@pytest.fixture
async def inside(pool: MemoryPool, tmp_path: Path) -> AsyncIterator[House]:
    async with house(tmp_path, pool) as made:
        yield made


async def _open(inside: House, vm: MemoryVm) -> str:
    id = str(uuid.uuid4())
    await inside.sources.open(POOL_ID, vm.vm_id, id, Method.NORMAL, (), FullReason.FIRST_BACKUP, Options())
    return id


async def _tell(pool: MemoryPool, vm: MemoryVm) -> None:
    """The pool tells what the VM does now."""
    told = inventory_vm(vm.vm_id, pool_id=POOL_ID, power_state=vm.power_state)
    await pool.pictures.put(replace(pool.picture(), vms={vm.vm_id: told}))


def _moves_of_disks(vm: MemoryVm, source_id: str) -> dict[tuple[str, str], str]:
    return {(vm.vm_id, "migrate_send"): source_id}


async def test_disks_of_a_vm_that_goes_off_while_it_is_read_stay_where_they_are(
    inside: House, pool: MemoryPool, vm: MemoryVm
) -> None:
    await _tell(pool, vm)
    source_id = await _open(inside, vm)
    assert {} == pool.blocks
    looking = asyncio.create_task(inside.switched_off.run())
    vm.power_state = PowerState.HALTED
    await _tell(pool, vm)
    await until_true(lambda: pool.blocks == _moves_of_disks(vm, source_id))
    looking.cancel()
    await asyncio.gather(looking, return_exceptions=True)
    assert () == await inside.sources.close(POOL_ID, source_id, committed=True)
    assert {} == pool.blocks


async def test_the_next_process_sees_to_it_and_so_does_the_janitor(
    pool: MemoryPool, vm: MemoryVm, tmp_path: Path
) -> None:
    async with house(tmp_path, pool) as before:
        await _tell(pool, vm)
        source_id = await _open(before, vm)
    vm.power_state = PowerState.HALTED
    async with house(tmp_path, pool) as inside:
        watch = inside.pools.find(POOL_ID)
        await _tell(pool, vm)
        await watch.looked.wait()
        await inside.switched_off.look(POOL_ID)
        assert _moves_of_disks(vm, source_id) == pool.blocks
        pool.blocks.clear()
        await inside.janitor.clean(POOL_ID, search=True)
        assert _moves_of_disks(vm, source_id) == pool.blocks


async def test_a_block_of_a_source_that_is_closed_is_not_made_any_more(
    inside: House, pool: MemoryPool, vm: MemoryVm
) -> None:
    source_id = await _open(inside, vm)
    vm.power_state = PowerState.HALTED
    await inside.sources.close(POOL_ID, source_id, committed=False)
    await inside.sources.keep_still(POOL_ID, source_id)
    await inside.sources.keep_still(POOL_ID, str(uuid.uuid4()))
    assert {} == pool.blocks


async def test_that_disks_cannot_be_kept_is_told_of_the_source_once(
    inside: House, pool: MemoryPool, vm: MemoryVm, monkeypatch: pytest.MonkeyPatch
) -> None:
    source_id = await _open(inside, vm)
    error: PermissionDenied | Unavailable = Unavailable("The pool is away.", reason="POOL_UNREACHABLE")

    async def refused(*_: object) -> None:
        raise error

    vm.power_state = PowerState.HALTED
    monkeypatch.setattr(pool, "block_migrations", refused)
    with pytest.raises(Unavailable):
        await inside.sources.keep_still(POOL_ID, source_id)
    assert () == await inside.sources.review(POOL_ID, source_id), "it is tried again"
    error = PermissionDenied("The account may not.", reason="RIGHTS_MISSING")
    for _ in range(2):
        with pytest.raises(PermissionDenied):
            await inside.sources.keep_still(POOL_ID, source_id)
    for told in (
        await inside.sources.review(POOL_ID, source_id),
        await inside.sources.close(POOL_ID, source_id, committed=False),
    ):
        [notice] = told
        assert ("MOVES_NOT_BLOCKED", True) == (notice.code, "The account may not." in notice.message)
    assert () == await inside.source_store.unfinished(POOL_ID), "its snapshot is removed all the same"


async def test_while_a_snapshot_is_removed_no_disk_begins_to_move(
    inside: House, pool: MemoryPool, vm: MemoryVm, monkeypatch: pytest.MonkeyPatch
) -> None:
    source_id, remove = await _open(inside, vm), pool.remove_snapshot
    seen = []

    async def watched(*args: object) -> None:
        seen.append(dict(pool.blocks))
        await remove(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(pool, "remove_snapshot", watched)
    await inside.sources.close(POOL_ID, source_id, committed=True)
    assert ([_moves_of_disks(vm, source_id)], {}) == (seen, pool.blocks)


async def test_disks_that_began_to_move_just_before_are_waited_for(
    inside: House, pool: MemoryPool, vm: MemoryVm, monkeypatch: pytest.MonkeyPatch
) -> None:
    source_id, block, disks = await _open(inside, vm), pool.block_migrations, set(pool.disks)

    async def too_late(*args: object) -> None:
        pool.moving.add(vm.vm_id)
        await block(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(pool, "block_migrations", too_late)
    told = await inside.sources.close(POOL_ID, source_id, committed=False)
    assert ["SNAPSHOT_WAITS"] == [notice.code for notice in told]
    assert disks == set(pool.disks)
    await inside.janitor.clean(POOL_ID, search=True)
    assert disks == set(pool.disks), "it is looked at again, and waits"
    pool.moving.clear()
    monkeypatch.undo()
    await inside.janitor.clean(POOL_ID, search=True)
    closed = await inside.source_store.get(source_id)
    assert closed is not None
    assert (SourceState.CLOSED, set(vm.disks.values()), {}) == (closed.state, set(pool.disks), pool.blocks)


async def test_a_source_that_is_closed_takes_nothing_from_another_one_of_its_vm(
    inside: House, pool: MemoryPool, vm: MemoryVm
) -> None:
    vm.power_state = PowerState.HALTED
    first, second = await _open(inside, vm), await _open(inside, vm)
    assert _moves_of_disks(vm, first) == pool.blocks
    await inside.sources.close(POOL_ID, first, committed=False)
    assert _moves_of_disks(vm, second) == pool.blocks
    await inside.sources.close(POOL_ID, second, committed=False)
    assert {} == pool.blocks
