import grpc
import pytest
from xenkeep.common.v1 import capture_pb2
from xenkeep.hypervisor.v1 import backup_source_pb2

from tests.support.hypervisor import Lab, bases
from tests.support.pool import MIB


async def test_a_first_backup_is_a_full_and_says_so(lab: Lab) -> None:
    source = await lab.open(await lab.vm("web"))
    assert [capture_pb2.LEVEL_FULL] * 2 == [disk.level for disk in source.disks]
    assert {capture_pb2.FULL_REASON_FIRST_BACKUP} == {disk.full_reason for disk in source.disks}
    assert [3, 3] == [len(disk.nbd_endpoints) for disk in source.disks]
    assert all(disk.tracking_ref for disk in source.disks)
    assert capture_pb2.CONSISTENCY_CRASH == source.consistency
    assert [(0, 16 * MIB)] == await lab.extents(source.name, source.disks[0].disk_id)
    await lab.close(source.name, committed=True)
    await lab.close(source.name, committed=True)


async def test_the_next_backup_reads_only_what_the_guest_wrote(lab: Lab) -> None:
    vm = await lab.vm("web")
    first = await lab.backed_up(vm)
    disk = first.disks[0].disk_id
    await lab.guest_writes(disk, 3 * 64 * 1024, b"x" * 64 * 1024)
    await lab.guest_writes(disk, 4 * 64 * 1024 + 512, b"y" * 512)
    await lab.guest_writes(disk, 16 * MIB - 512, b"z" * 512)
    second = await lab.backed_up(vm, bases(first))
    assert [capture_pb2.LEVEL_INCREMENTAL] * 2 == [each.level for each in second.disks]
    assert [3 * 64 * 1024, 0] == [each.changed_bytes for each in second.disks]
    third = await lab.open(vm, bases(second))
    assert [] == await lab.extents(third.name, disk)
    await lab.close(third.name, committed=False)


async def test_extents_are_those_of_the_moment_it_was_opened(lab: Lab) -> None:
    vm = await lab.vm("web")
    first = await lab.backed_up(vm)
    disk = first.disks[0].disk_id
    await lab.guest_writes(disk, 0, b"x" * 64 * 1024)
    second = await lab.open(vm, bases(first))
    await lab.guest_writes(disk, 5 * MIB, b"later" + bytes(507))
    assert [(0, 64 * 1024)] == await lab.extents(second.name, disk)
    third = await lab.open(vm, bases(first))
    assert [(0, 64 * 1024), (5 * MIB, 64 * 1024)] == await lab.extents(third.name, disk)


async def test_opening_again_returns_the_same_moment(lab: Lab) -> None:
    vm = await lab.vm("web")
    first = await lab.open(vm)
    id = first.name.rpartition("/")[2]
    again = await lab.open(vm, id=id)
    fetched = await lab.sources.GetBackupSource(
        backup_source_pb2.GetBackupSourceRequest(name=first.name), timeout=10
    )
    assert first.disks == again.disks == fetched.disks
    assert first.snapshot_time == again.snapshot_time
    await lab.close(first.name, committed=False)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await lab.open(vm, id=id)
    assert grpc.StatusCode.FAILED_PRECONDITION == refused.value.code()


async def test_a_halted_vm_is_consistent(lab: Lab) -> None:
    source = await lab.open(await lab.vm("db"))
    assert capture_pb2.CONSISTENCY_POWERED_OFF == source.consistency
    await lab.close(source.name, committed=False)


async def test_other_methods_are_refused_with_a_way_out(lab: Lab) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await lab.open(await lab.vm("web"), method=capture_pb2.METHOD_MEMORY)
    assert grpc.StatusCode.FAILED_PRECONDITION == refused.value.code()


async def test_a_base_that_is_gone_means_a_full_with_that_reason(lab: Lab) -> None:
    vm = await lab.vm("web")
    gone = [
        backup_source_pb2.DiskBase(disk_id=disk.disk_id, tracking_ref="b0000000-0000-4000-8000-000000000000")
        for disk in vm.disks
    ]
    source = await lab.open(vm, gone)
    assert {capture_pb2.FULL_REASON_BASE_SNAPSHOT_GONE} == {disk.full_reason for disk in source.disks}
    await lab.close(source.name, committed=False)
