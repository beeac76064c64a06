"""What stays in the pool for the next incremental, on a pool in memory."""

import uuid
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from services.chassis.clock import SystemClock
from services.chassis.ids import RandomIds
from services.hypervisor.adapters.memory_objects import MemoryVm
from services.hypervisor.adapters.memory_pool import MemoryPool
from services.hypervisor.app.janitor import DATA_KEPT
from services.hypervisor.domain.capture import Options
from services.hypervisor.domain.differences import WithoutTracking
from services.hypervisor.domain.source import Base, Source
from services.hypervisor.domain.tracking import FullReason, Tracking
from services.hypervisor.domain.vm import Method
from tests.support.hypervisor_house import POOL_ID, House, house

ONE, OTHER = "repository-1", "repository-2"


@pytest.fixture
def pool() -> MemoryPool:
    return MemoryPool(SystemClock(), RandomIds())


@pytest.fixture
def vm(pool: MemoryPool) -> MemoryVm:
    disk = pool.add_disk("root")
    disk.blocks = {0: b"system", 1: b"data"}
    return pool.add_vm("web", disk)


@pytest.fixture
async def inside(pool: MemoryPool, tmp_path: Path) -> AsyncIterator[House]:
    async with house(tmp_path, pool) as made:
        yield made


async def _backed_up(
    inside: House,
    vm: MemoryVm,
    base: Source | None = None,
    lineage: str = ONE,
    options: Options | None = None,
) -> Source:
    bases = tuple(Base(disk.disk_id, disk.tracking_ref) for disk in base.disks) if base else ()
    asked = FullReason.FIRST_BACKUP if base is None else FullReason.UNSPECIFIED
    id = str(uuid.uuid4())
    opened = await inside.sources.open(
        POOL_ID, vm.vm_id, id, Method.NORMAL, bases, asked, options or Options(), lineage
    )
    await inside.sources.close(POOL_ID, id, committed=True)
    return opened.source


def _write(pool: MemoryPool, vm: MemoryVm, block: int) -> None:
    pool.disks[vm.disks["0"]].blocks[block] = uuid.uuid4().bytes


def _kept(pool: MemoryPool) -> set[str]:
    return {disk.disk_id for disk in pool.disks.values() if disk.snapshot_of}


async def test_backups_into_two_repositories_in_turn_are_incremental_in_both(
    inside: House, pool: MemoryPool, vm: MemoryVm
) -> None:
    newest = {lineage: await _backed_up(inside, vm, None, lineage) for lineage in (ONE, OTHER)}
    for number, lineage in enumerate((ONE, OTHER, ONE, OTHER)):
        _write(pool, vm, number)
        newest[lineage] = await _backed_up(inside, vm, newest[lineage], lineage)
        assert [True] == [disk.incremental for disk in newest[lineage].disks]
    assert {disk.tracking_ref for source in newest.values() for disk in source.disks} == _kept(pool)


async def test_without_tracking_what_differs_from_the_kept_snapshot_is_read(
    inside: House, pool: MemoryPool, vm: MemoryVm
) -> None:
    pool.tracking = Tracking.UNLICENSED
    first = await _backed_up(inside, vm)
    assert ["SNAPSHOT_KEPT"] == [notice.code for notice in first.notices]
    _write(pool, vm, 5)
    second = await _backed_up(inside, vm, first)
    [disk] = second.disks
    assert disk.incremental and first.disks[0].tracking_ref == disk.base_tracking_ref
    assert 64 * 1024 == disk.changed_bytes
    assert {disk.tracking_ref} == _kept(pool)
    await inside.janitor.clean(POOL_ID, search=True)
    assert {disk.tracking_ref} == _kept(pool)


async def test_a_policy_may_forbid_that_snapshots_stay(inside: House, pool: MemoryPool, vm: MemoryVm) -> None:
    pool.tracking = Tracking.UNLICENSED
    first = await _backed_up(inside, vm)
    second = await _backed_up(inside, vm, first, options=Options(without_tracking=WithoutTracking.READ_ALL))
    assert [True] == [disk.incremental for disk in second.disks], "what stayed may still be used"
    assert [""] == [disk.tracking_ref for disk in second.disks]
    assert () == second.notices
    assert set() == _kept(pool)
    third = await _backed_up(inside, vm, second, options=Options(without_tracking=WithoutTracking.READ_ALL))
    assert [FullReason.TRACKING_UNLICENSED] == [disk.full_reason for disk in third.disks]


@pytest.mark.scenario(38)
async def test_a_disk_that_was_put_back_is_read_fully(inside: House, pool: MemoryPool, vm: MemoryVm) -> None:
    pool.tracking = Tracking.UNSUPPORTED
    first = await _backed_up(inside, vm)
    pool.disks[vm.disks["0"]].parents = ("another",)
    second = await _backed_up(inside, vm, first)
    assert [FullReason.DISK_REPLACED] == [disk.full_reason for disk in second.disks]


@pytest.mark.scenario(38)
async def test_tracking_that_begins_goes_on_from_the_kept_snapshot(
    inside: House, pool: MemoryPool, vm: MemoryVm
) -> None:
    pool.tracking = Tracking.UNLICENSED
    first = await _backed_up(inside, vm)
    pool.tracking = Tracking.SWITCHED_ON
    second = await _backed_up(inside, vm, first)
    assert [True] == [disk.incremental for disk in second.disks]
    assert not second.kept_disks
    assert [False] == [disk.data_kept for disk in pool.disks.values() if disk.snapshot_of]


@pytest.mark.scenario(38)
async def test_tracking_that_ends_is_told_and_the_next_goes_on_from_the_snapshot(
    inside: House, pool: MemoryPool, vm: MemoryVm
) -> None:
    first = await _backed_up(inside, vm)
    pool.disks[vm.disks["0"]].tracked, pool.tracking = False, Tracking.UNLICENSED
    second = await _backed_up(inside, vm, first)
    assert [FullReason.TRACKING_UNLICENSED] == [disk.full_reason for disk in second.disks]
    third = await _backed_up(inside, vm, second)
    assert [True] == [disk.incremental for disk in third.disks]


async def test_what_no_backup_asked_for_in_a_long_time_is_removed(
    inside: House, pool: MemoryPool, vm: MemoryVm
) -> None:
    pool.tracking = Tracking.UNLICENSED
    first = await _backed_up(inside, vm)
    pool.disks[first.disks[0].tracking_ref].taken -= DATA_KEPT + timedelta(hours=1)
    await inside.janitor.clean(POOL_ID, search=True)
    assert set() == _kept(pool)
    second = await _backed_up(inside, vm, first)
    assert [FullReason.BASE_SNAPSHOT_GONE] == [disk.full_reason for disk in second.disks]
