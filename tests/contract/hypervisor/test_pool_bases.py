"""The law of what stays in a pool for the next incremental."""

import uuid
from datetime import UTC, datetime, timedelta

from services.hypervisor.domain.extents import BLOCK_BYTES, changed_extents
from services.hypervisor.ports.snapshots import Snapshot
from tests.contract.hypervisor.worlds import World

EVER = datetime.min.replace(tzinfo=UTC)


def _id() -> str:
    return str(uuid.uuid4())


async def _snapshot(world: World, vm_id: str, *, tracked: bool) -> tuple[str, Snapshot]:
    if tracked:
        for disk in (await world.pool.shape(vm_id)).disks:
            await world.pool.track(disk.configured.disk_id)
    source = _id()
    return source, await world.pool.take_snapshot(vm_id, source, ())


async def _remove_all(world: World) -> None:
    later = datetime.now(UTC) + timedelta(days=1)
    await world.pool.remove_stale(later, later)


async def test_tracking_data_of_another_lineage_stays(world: World) -> None:
    vm_id = await world.new_vm()
    kept: dict[str, str] = {}
    for lineage in ("one", "other", "one"):
        source, snapshot = await _snapshot(world, vm_id, tracked=True)
        for _ in range(2):
            await world.pool.remove_snapshot(source, True, lineage)
        if before := kept.get(lineage):
            assert not await world.exists(before)
        kept[lineage] = snapshot.disks[0].snapshot_disk_id
    for disk_id in kept.values():
        assert await world.exists(disk_id)
    await _remove_all(world)


async def test_a_whole_snapshot_stays_for_a_lineage_and_is_no_leftover(world: World) -> None:
    vm_id = await world.new_vm()
    source, first = await _snapshot(world, vm_id, tracked=False)
    ids = [disk.snapshot_disk_id for disk in first.disks]
    for _ in range(2):
        await world.pool.remove_snapshot(source, True, "one", ids[:1])
    assert [True, False] == [await world.exists(disk_id) for disk_id in ids]
    assert not await world.has_vm(first.snapshot_vm_id)
    assert source not in (await world.pool.leftovers()).source_ids
    layers = await world.pool.layers(ids[0])
    assert layers is not None and layers.can_be_base
    source, second = await _snapshot(world, vm_id, tracked=False)
    await world.pool.remove_snapshot(source, True, "one", [second.disks[0].snapshot_disk_id])
    assert not await world.exists(ids[0])
    assert await world.exists(second.disks[0].snapshot_disk_id)
    await _remove_all(world)


async def test_what_differs_from_a_kept_snapshot_is_told(world: World) -> None:
    vm_id = await world.new_vm()
    source, first = await _snapshot(world, vm_id, tracked=False)
    base = first.disks[0]
    await world.pool.remove_snapshot(source, True, "one", [base.snapshot_disk_id])
    await world.guest_writes(base.facts.disk_id, 40)
    source, second = await _snapshot(world, vm_id, tracked=False)
    new = second.disks[0]
    old_layers = await world.pool.layers(base.snapshot_disk_id)
    new_layers = await world.pool.layers(new.snapshot_disk_id)
    assert old_layers is not None and new_layers is not None
    assert old_layers.parents[0] in new_layers.parents
    told = await world.pool.differing_blocks(base.snapshot_disk_id, new.snapshot_disk_id)
    assert isinstance(told, bytes)
    size = new.facts.size_bytes
    found = list(changed_extents(told, size, size))
    assert 1 == len(found)
    assert found[0].offset_bytes <= 40 * BLOCK_BYTES < found[0].offset_bytes + found[0].length_bytes
    assert found[0].length_bytes <= 2 * 1024 * 1024
    await world.pool.remove_snapshot(source, keep_tracking=False)
    assert isinstance(await world.pool.differing_blocks(_id(), base.snapshot_disk_id), str)
    await _remove_all(world)


async def test_what_was_kept_goes_when_it_is_old(world: World) -> None:
    vm_id = await world.new_vm()
    source, snapshot = await _snapshot(world, vm_id, tracked=False)
    disk = snapshot.disks[0]
    await world.pool.remove_snapshot(source, True, "one", [disk.snapshot_disk_id])
    later = datetime.now(UTC) + timedelta(days=1)
    assert () == await world.pool.remove_stale(later, EVER)
    assert await world.exists(disk.snapshot_disk_id)
    assert (disk.facts.disk_id,) == await world.pool.remove_stale(EVER, later)
    assert not await world.exists(disk.snapshot_disk_id)
    assert await world.pool.layers(disk.snapshot_disk_id) is None


async def test_the_disks_of_a_snapshot_are_found_where_the_pool_moved_them(world: World) -> None:
    vm_id, source = await world.new_vm(), _id()
    disks = [disk.configured.disk_id for disk in (await world.pool.shape(vm_id)).disks]
    taken = [disk.snapshot_disk_id for disk in (await world.pool.take_snapshot(vm_id, source, ())).disks]
    assert dict(zip("01", taken, strict=True)) == await world.pool.find_disks(source)
    moved = await world.move(disks[0])
    found = await world.pool.find_disks(source)
    assert [False, True] == [found[device] in taken for device in "01"]
    assert await world.pool.tracked_disk(taken[0]) is None
    facts = await world.pool.tracked_disk(found["0"])
    assert facts is not None
    assert moved == facts.disk_id
    assert source in (await world.pool.leftovers()).own_ids
    await world.pool.remove_snapshot(source, True, "one", taken, taken)
    assert [False, True] == [await world.exists(found[device]) for device in "01"]
    assert {} == await world.pool.find_disks(source)


async def test_nothing_is_kept_of_a_disk_that_no_vm_has_any_more(world: World) -> None:
    vm_id, source = await world.new_vm(), _id()
    taken = [disk.snapshot_disk_id for disk in (await world.pool.take_snapshot(vm_id, source, ())).disks]
    await world.remove_vm(vm_id)
    await world.pool.remove_snapshot(source, True, "one", taken, taken)
    assert [False, False] == [await world.exists(disk) for disk in taken]
