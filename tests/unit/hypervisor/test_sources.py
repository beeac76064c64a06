"""Opening a backup source, on a pool in memory."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from services.chassis.clock import SystemClock
from services.chassis.errors import FailedPrecondition, InvalidInput, NotFound
from services.chassis.ids import RandomIds
from services.hypervisor.adapters.memory_objects import MemoryVm
from services.hypervisor.adapters.memory_pool import MemoryPool
from services.hypervisor.app.readables import Readable
from services.hypervisor.domain.capture import Options, OwnSnapshots
from services.hypervisor.domain.pool import PoolState
from services.hypervisor.domain.source import Base, DiskKind
from services.hypervisor.domain.tracking import FullReason, Tracking
from services.hypervisor.domain.vm import Method
from tests.support.hypervisor_house import POOL_ID, House, house


@pytest.fixture
def pool() -> MemoryPool:
    return MemoryPool(SystemClock(), RandomIds())


@pytest.fixture
def vm(pool: MemoryPool) -> MemoryVm:
    return pool.add_vm("web", pool.add_disk("root"), pool.add_disk("data"))


@pytest.fixture
async def inside(pool: MemoryPool, tmp_path: Path) -> AsyncIterator[House]:
    async with house(tmp_path, pool) as made:
        yield made


async def _open(inside: House, vm: MemoryVm, id: str = "", **more: Any) -> Readable:
    asked: dict[str, Any] = {"method": Method.NORMAL, "bases": (), "asked": FullReason.FIRST_BACKUP}
    asked |= {"options": Options()} | more
    return await inside.sources.open(POOL_ID, vm.vm_id, id or str(uuid.uuid4()), **asked)


async def test_a_caller_who_gives_up_does_not_have_it_done_twice(
    inside: House, pool: MemoryPool, vm: MemoryVm, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, entered = asyncio.Event(), asyncio.Event()
    take, calls = pool.take_snapshot, 0

    async def slow(*args: Any) -> Any:
        nonlocal calls
        calls += 1
        entered.set()
        await gate.wait()
        return await take(*args)

    monkeypatch.setattr(pool, "take_snapshot", slow)
    id = str(uuid.uuid4())
    first = asyncio.ensure_future(_open(inside, vm, id))
    await entered.wait()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    second = asyncio.ensure_future(_open(inside, vm, id))
    await asyncio.sleep(0)
    gate.set()
    assert 2 == len((await second).source.disks)
    assert 1 == calls


async def test_one_bad_disk_does_not_spoil_the_others(inside: House, pool: MemoryPool, vm: MemoryVm) -> None:
    pool.disks[vm.disks["0"]].obstacle = "it is raw"
    source = (await _open(inside, vm)).source
    assert ["1"] == [disk.device for disk in source.disks]
    assert ["DISK_SKIPPED"] == [notice.code for notice in source.notices]


async def test_a_disk_that_fails_now_fails_the_backup_unless_the_policy_skips_it(
    inside: House, pool: MemoryPool, vm: MemoryVm
) -> None:
    failed = pool.disks[vm.disks["0"]]
    failed.failed, failed.obstacle = True, "its storage repository does not find it"
    with pytest.raises(FailedPrecondition) as told:
        await _open(inside, vm)
    assert "DISK_FAILED" == told.value.reason
    source = (await _open(inside, vm, options=Options(skips_failed_disks=True))).source
    assert ["1"] == [disk.device for disk in source.disks]
    assert [failed.disk_id] == [disk.disk_id for disk in source.missing_disks]


async def test_a_disk_nobody_serves_does_not_keep_the_others_from_being_read(
    inside: House, pool: MemoryPool, vm: MemoryVm
) -> None:
    source = (await _open(inside, vm, options=Options(skips_failed_disks=True))).source
    del pool.disks[source.disks[0].snapshot_disk_id]
    readable = await inside.sources.get(POOL_ID, source.source_id, 4)
    assert [False, True] == [bool(readable.endpoints[disk.disk_id]) for disk in source.disks]


async def test_a_disk_that_cannot_be_tracked_is_read_fully_each_time(
    inside: House, pool: MemoryPool, vm: MemoryVm
) -> None:
    pool.tracking = Tracking.UNSUPPORTED
    pool.layered = False
    first = (await _open(inside, vm)).source
    assert {""} == {disk.tracking_ref for disk in first.disks}
    bases = tuple(Base(disk.disk_id, disk.tracking_ref) for disk in first.disks)
    second = (await _open(inside, vm, bases=bases)).source
    assert {FullReason.TRACKING_UNSUPPORTED} == {disk.full_reason for disk in second.disks}


async def test_a_disk_that_was_added_is_full_beside_incrementals(
    inside: House, pool: MemoryPool, vm: MemoryVm
) -> None:
    first = (await _open(inside, vm)).source
    vm.disks["2"] = pool.add_disk("new").disk_id
    bases = tuple(Base(disk.disk_id, disk.tracking_ref) for disk in first.disks)
    second = (await _open(inside, vm, bases=bases)).source
    assert [True, True, False] == [disk.incremental for disk in second.disks]
    assert FullReason.FIRST_BACKUP is second.disks[2].full_reason


async def test_an_id_belongs_to_one_vm(inside: House, pool: MemoryPool, vm: MemoryVm) -> None:
    id = str(uuid.uuid4())
    await _open(inside, vm, id)
    with pytest.raises(InvalidInput):
        await _open(inside, pool.add_vm("other"), id)


async def test_what_cannot_be_opened_is_told(inside: House, pool: MemoryPool, vm: MemoryVm) -> None:
    with pytest.raises(FailedPrecondition):
        await _open(inside, vm, method=Method.MEMORY)
    with pytest.raises(NotFound):
        await inside.sources.get(POOL_ID, str(uuid.uuid4()), 4)
    pool.readable = False
    with pytest.raises(FailedPrecondition):
        await _open(inside, vm)
    assert [vm] == list(pool.vms.values())


async def test_a_snapshot_somebody_removed_is_told_of(inside: House, pool: MemoryPool, vm: MemoryVm) -> None:
    source = (await _open(inside, vm)).source
    del pool.disks[source.disks[0].snapshot_disk_id]
    with pytest.raises(FailedPrecondition) as told:
        await inside.sources.get(POOL_ID, source.source_id, 4)
    assert "SNAPSHOT_GONE" == told.value.reason


async def test_without_the_sealing_key_the_pool_waits_for_its_password(
    pool: MemoryPool, vm: MemoryVm, tmp_path: Path
) -> None:
    async with house(tmp_path, pool):
        pass
    (tmp_path / "sealing.key").unlink()
    async with house(tmp_path, pool) as again:
        [watch] = again.pools.all()
        assert PoolState.UNAUTHENTICATED is watch.pool.state
        assert "sealing" in watch.pool.state_message


async def test_a_snapshot_whose_disk_moved_is_read_on_there_and_told_once(
    inside: House, pool: MemoryPool, vm: MemoryVm
) -> None:
    pool.tracking = Tracking.UNSUPPORTED
    source = (await _open(inside, vm)).source
    assert [True, True] == [disk.kept for disk in source.disks]
    pool.move_disk(vm.disks["0"])
    for _ in range(2):
        readable = await inside.sources.get(POOL_ID, source.source_id, 4)
        assert all(readable.endpoints[disk.disk_id] for disk in source.disks)
        codes = [notice.code for notice in readable.source.notices]
        assert 1 == codes.count("SNAPSHOT_MOVED")
        assert [(True, False), (False, False)] == [(disk.moved, disk.lost) for disk in readable.source.disks]
        assert [False, True] == [disk.kept for disk in readable.source.disks]
        assert ["", source.disks[1].tracking_ref] == [disk.tracking_ref for disk in readable.source.disks]
    await inside.sources.close(POOL_ID, source.source_id, committed=True)
    assert {*vm.disks.values(), source.disks[1].snapshot_disk_id} == pool.disks.keys()


async def test_a_vms_own_snapshot_is_followed_too(inside: House, pool: MemoryPool, vm: MemoryVm) -> None:
    pool.take_own_snapshot(vm, "before")
    source = (await _open(inside, vm, options=Options(own_snapshots=OwnSnapshots.SAVE))).source
    pool.move_disk(vm.disks["1"])
    readable = await inside.sources.get(POOL_ID, source.source_id, 4)
    assert all(readable.endpoints[disk.disk_id] for disk in source.disks)
    moved = [notice for notice in readable.source.notices if notice.code == "SNAPSHOT_MOVED"]
    assert 2 == len(moved)
    assert [disk.tracking_ref for disk in source.disks if disk.kind is DiskKind.OWN_SNAPSHOT] == [
        disk.tracking_ref for disk in readable.source.disks if disk.kind is DiskKind.OWN_SNAPSHOT
    ]


async def test_a_snapshot_that_is_nowhere_is_gone(inside: House, pool: MemoryPool, vm: MemoryVm) -> None:
    source = (await _open(inside, vm)).source
    del pool.disks[source.disks[0].snapshot_disk_id]
    del pool.vms[source.snapshot_vm_id]
    with pytest.raises(FailedPrecondition) as told:
        await inside.sources.get(POOL_ID, source.source_id, 4)
    assert "SNAPSHOT_GONE" == told.value.reason


async def _told(inside: House, source_id: str) -> list[str]:
    return [notice.code for notice in await inside.sources.review(POOL_ID, source_id)]


async def test_a_disk_that_moved_is_told_of_also_when_nobody_asked_where_it_is(
    inside: House, pool: MemoryPool, vm: MemoryVm
) -> None:
    first, second = [(await _open(inside, vm)).source.source_id for _ in range(2)]
    pool.move_disk(vm.disks["0"])
    assert ["SNAPSHOT_MOVED"] == await _told(inside, first)
    assert ["SNAPSHOT_MOVED"] == await _told(inside, first)
    for source_id in (first, second, second):
        told = await inside.sources.close(POOL_ID, source_id, committed=False)
        assert ["SNAPSHOT_MOVED"] == [notice.code for notice in told]
    with pytest.raises(FailedPrecondition):
        await _told(inside, first)


@pytest.mark.parametrize("removed", [True, False])
async def test_a_disk_that_its_vm_lost_is_told_of_once(
    inside: House, pool: MemoryPool, vm: MemoryVm, removed: bool
) -> None:
    source_id = (await _open(inside, vm)).source.source_id
    lost = vm.disks.pop("1")
    if removed:
        del pool.disks[lost]
    for _ in range(2):
        [notice] = await inside.sources.review(POOL_ID, source_id)
        assert ("DISK_LEFT_VM", True) == (notice.code, lost in notice.message)
        assert removed != ("The disk itself exists" in notice.message)
    readable = await inside.sources.get(POOL_ID, source_id, 4)
    marked = {disk.disk_id: (disk.moved, disk.lost) for disk in readable.source.disks}
    assert {vm.disks["0"]: (False, False), lost: (False, True)} == marked


async def test_a_vm_that_left_its_pool_is_told_of_once(inside: House, pool: MemoryPool, vm: MemoryVm) -> None:
    source_id = (await _open(inside, vm)).source.source_id
    del pool.vms[vm.vm_id]
    assert ["VM_LEFT_POOL"] == await _told(inside, source_id)
    assert ["VM_LEFT_POOL"] == await _told(inside, source_id)


async def test_a_source_nothing_happened_to_has_nothing_to_tell(inside: House, vm: MemoryVm) -> None:
    source_id = (await _open(inside, vm)).source.source_id
    assert [] == await _told(inside, source_id)
    assert () == await inside.sources.close(POOL_ID, source_id, committed=True)


async def test_a_snapshot_that_waits_for_the_pool_to_move_disks_is_told_of(
    inside: House, pool: MemoryPool, vm: MemoryVm
) -> None:
    source_id = (await _open(inside, vm)).source.source_id
    pool.moving.add(vm.vm_id)
    told = await inside.sources.close(POOL_ID, source_id, committed=True)
    assert ["SNAPSHOT_WAITS"] == [notice.code for notice in told]
    pool.moving.clear()
    assert () == await inside.sources.close(POOL_ID, source_id, committed=True)
