import grpc
import pytest
from xenkeep.common.v1 import capture_pb2
from xenkeep.hypervisor.v1 import backup_source_pb2

from services.chassis.rpc.channel import error_from_rpc
from tests.support.hypervisor import Lab, bases
from tests.support.pool import MIB, PASSWORD
from tests.support.waiting import PATIENCE_S

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_first_backup_is_a_full_and_says_so(shared_lab: Lab) -> None:
    vm = await shared_lab.new_vm()
    await shared_lab.guest_writes(vm.disks[0].disk_id, 5 * MIB, b"x" * 512)
    source = await shared_lab.open(vm)
    assert [capture_pb2.LEVEL_FULL] * 2 == [disk.level for disk in source.disks]
    assert {capture_pb2.FULL_REASON_FIRST_BACKUP} == {disk.full_reason for disk in source.disks}
    assert [3, 3] == [len(disk.nbd_endpoints) for disk in source.disks]
    assert all(disk.tracking_ref for disk in source.disks)
    assert capture_pb2.CONSISTENCY_CRASH == source.consistency
    assert [True, True] == [disk.extents_known for disk in source.disks]
    assert [(4 * MIB, 2 * MIB)] == await shared_lab.extents(source.name, source.disks[0].disk_id)
    assert [] == await shared_lab.extents(source.name, source.disks[1].disk_id)
    await shared_lab.close(source.name, committed=True)
    await shared_lab.close(source.name, committed=True)


async def test_the_next_backup_reads_only_what_the_guest_wrote(shared_lab: Lab) -> None:
    vm = await shared_lab.new_vm()
    first = await shared_lab.backed_up(vm)
    disk = first.disks[0].disk_id
    await shared_lab.guest_writes(disk, 3 * 64 * 1024, b"x" * 64 * 1024)
    await shared_lab.guest_writes(disk, 4 * 64 * 1024 + 512, b"y" * 512)
    await shared_lab.guest_writes(disk, 16 * MIB - 512, b"z" * 512)
    second = await shared_lab.backed_up(vm, bases(first))
    assert [capture_pb2.LEVEL_INCREMENTAL] * 2 == [each.level for each in second.disks]
    assert [3 * 64 * 1024, 0] == [each.changed_bytes for each in second.disks]
    third = await shared_lab.open(vm, bases(second))
    assert [] == await shared_lab.extents(third.name, disk)
    await shared_lab.close(third.name, committed=False)


async def test_extents_are_those_of_the_moment_it_was_opened(shared_lab: Lab) -> None:
    vm = await shared_lab.new_vm()
    first = await shared_lab.backed_up(vm)
    disk = first.disks[0].disk_id
    await shared_lab.guest_writes(disk, 0, b"x" * 64 * 1024)
    second = await shared_lab.open(vm, bases(first))
    await shared_lab.guest_writes(disk, 5 * MIB, b"later" + bytes(507))
    assert [(0, 64 * 1024)] == await shared_lab.extents(second.name, disk)
    third = await shared_lab.open(vm, bases(first))
    assert [(0, 64 * 1024), (5 * MIB, 64 * 1024)] == await shared_lab.extents(third.name, disk)


async def test_opening_again_returns_the_same_moment(shared_lab: Lab) -> None:
    vm = await shared_lab.new_vm()
    first = await shared_lab.open(vm)
    id = first.name.rpartition("/")[2]
    again = await shared_lab.open(vm, id=id)
    fetched = await shared_lab.sources.GetBackupSource(
        backup_source_pb2.GetBackupSourceRequest(name=first.name), timeout=PATIENCE_S
    )
    for endpoint in (each for disk in fetched.disks for each in disk.nbd_endpoints):
        assert endpoint.max_connections
        endpoint.max_connections = 0
    for disk in (*again.disks, *first.disks, *fetched.disks):
        disk.nbd_endpoints.sort(key=lambda endpoint: endpoint.address)
    assert first.disks == again.disks == fetched.disks
    assert first.snapshot_time == again.snapshot_time
    await shared_lab.close(first.name, committed=False)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await shared_lab.open(vm, id=id)
    assert grpc.StatusCode.FAILED_PRECONDITION == refused.value.code()


async def test_a_halted_vm_is_consistent(shared_lab: Lab) -> None:
    source = await shared_lab.open(await shared_lab.new_vm(like="db", running=False))
    assert capture_pb2.CONSISTENCY_POWERED_OFF == source.consistency
    await shared_lab.close(source.name, committed=False)


async def test_other_methods_are_refused_with_a_way_out(shared_lab: Lab) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await shared_lab.open(await shared_lab.new_vm(), method=capture_pb2.METHOD_QUIESCED)
    assert grpc.StatusCode.FAILED_PRECONDITION == refused.value.code()


@pytest.mark.scenario(38)
async def test_a_base_that_is_gone_means_a_full_with_that_reason(shared_lab: Lab) -> None:
    vm = await shared_lab.new_vm()
    gone = [
        backup_source_pb2.DiskBase(disk_id=disk.disk_id, tracking_ref="b0000000-0000-4000-8000-000000000000")
        for disk in vm.disks
    ]
    source = await shared_lab.open(vm, gone)
    assert {capture_pb2.FULL_REASON_BASE_SNAPSHOT_GONE} == {disk.full_reason for disk in source.disks}
    await shared_lab.close(source.name, committed=False)


async def test_a_disk_that_cannot_be_snapshotted_is_left_out_and_told_of(shared_lab: Lab) -> None:
    vm = await shared_lab.new_vm(running=False)
    ref = await shared_lab.session_call("VM.get_by_uuid", vm.name.rpartition("/")[2])
    vdi = await shared_lab.session_call("VDI.get_by_uuid", vm.disks[0].disk_id)
    shared = {
        "name_label": "quorum",
        "SR": await shared_lab.session_call("VDI.get_SR", vdi),
        "virtual_size": str(2 * MIB),
        "type": "user",
        "sharable": True,
        "read_only": False,
        "other_config": {},
    }
    disk = await shared_lab.session_call("VDI.create", shared)
    attached = {
        "VM": ref,
        "VDI": disk,
        "userdevice": "7",
        "bootable": False,
        "mode": "RW",
        "type": "Disk",
        "empty": False,
        "other_config": {},
        "qos_algorithm_type": "",
        "qos_algorithm_params": {},
    }
    await shared_lab.session_call("VBD.create", attached)
    source = await shared_lab.open(vm)
    assert ["0", "1"] == [each.device for each in source.disks]
    assert ["DISK_SKIPPED"] == [notice.code for notice in source.notices]
    assert "quorum" in source.notices[0].message
    await shared_lab.close(source.name, committed=False)


async def test_without_a_network_for_nbd_nothing_is_made_and_the_way_out_is_told(shared_lab: Lab) -> None:
    vm = await shared_lab.new_vm(running=False)
    networks = await shared_lab.session_call("network.get_all_records")
    [network] = [ref for ref, each in networks.items() if "nbd" in each["purpose"]]
    await shared_lab.session_call("network.remove_purpose", network, "nbd")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await shared_lab.open(vm)
    await shared_lab.session_call("network.add_purpose", network, "nbd")
    assert grpc.StatusCode.FAILED_PRECONDITION == refused.value.code()
    assert "xe network-param-add" in str(error_from_rpc(refused.value))


async def test_no_secret_gets_into_the_log(shared_lab: Lab) -> None:
    source = await shared_lab.open(await shared_lab.new_vm(running=False))
    await shared_lab.close(source.name, committed=False)
    log = shared_lab.process.log.read_text()
    assert "OpaqueRef:" not in log and PASSWORD not in log
