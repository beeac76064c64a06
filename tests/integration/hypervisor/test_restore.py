import uuid

import grpc
import pytest
from xenkeep.hypervisor.v1 import events_pb2, restore_target_pb2, vm_pb2

from tests.support.hypervisor import PATIENCE_S, Lab, write_disk
from tests.support.pool import MIB

pytestmark = pytest.mark.asyncio(loop_scope="module")

Placement = restore_target_pb2.Placement
Disks = list[restore_target_pb2.DiskToRestore]
DATA = [(0, b"boot" * 1024), (7 * MIB, bytes(range(256)) * 32)]


async def _backed_up(lab: Lab, vm: vm_pb2.Vm) -> tuple[bytes, Disks]:
    """The VM's configuration and disks, its first disk holding DATA."""
    for offset, data in DATA:
        await lab.guest_writes(vm.disks[0].disk_id, offset, data)
    source = await lab.backed_up(vm)
    disks = [
        restore_target_pb2.DiskToRestore(
            disk_id=disk.disk_id, size_bytes=disk.size_bytes, display_name=disk.display_name
        )
        for disk in source.disks
    ]
    return source.vm_configuration, disks


async def _live_disks(lab: Lab) -> set[str]:
    vdis = await lab.session_call("VDI.get_all_records")
    return {ref for ref, vdi in vdis.items() if vdi["managed"] and not vdi["is_a_snapshot"]}


async def _prepared(
    lab: Lab, placement: Placement, configuration: bytes, disks: Disks
) -> restore_target_pb2.RestoreTarget:
    return await lab.targets.PrepareRestoreTarget(
        restore_target_pb2.PrepareRestoreTargetRequest(
            restore_target_id=str(uuid.uuid4()),
            placement=placement,
            vm_configuration=configuration,
            disks=disks,
        ),
        timeout=PATIENCE_S,
    )


async def _restored(
    lab: Lab, placement: Placement, configuration: bytes, disks: Disks
) -> restore_target_pb2.RestoreTarget:
    target = await _prepared(lab, placement, configuration, disks)
    for index, disk in enumerate(target.disks):
        await write_disk(disk.endpoint, [] if index else DATA)
    request = restore_target_pb2.CommitRestoreTargetRequest(name=target.name)
    return await lab.targets.CommitRestoreTarget(request, timeout=PATIENCE_S)


async def test_a_new_vm_has_the_data_a_new_name_and_other_addresses(shared_lab: Lab) -> None:
    vm = await shared_lab.new_vm()
    configuration, disks = await _backed_up(shared_lab, vm)
    placement = Placement(pool=f"pools/{shared_lab.pool_id}", vm_display_name="again")
    done = await _restored(shared_lab, placement, configuration, disks)
    assert restore_target_pb2.RestoreTarget.STATE_COMMITTED == done.state
    new = await shared_lab.vm_with(done.vm, lambda now: len(now.disks) == 2)
    assert "again" == new.display_name
    assert vm_pb2.Vm.POWER_STATE_HALTED == new.power_state
    assert [disk.display_name for disk in vm.disks] == [disk.display_name for disk in new.disks]
    assert not {disk.disk_id for disk in vm.disks} & {disk.disk_id for disk in new.disks}
    for before, after in zip(vm.disks, new.disks, strict=True):
        assert await shared_lab.hash_of(before.disk_id) == await shared_lab.hash_of(after.disk_id)
    assert vm.network_interfaces[0].mac != new.network_interfaces[0].mac
    assert vm.network_interfaces[0].network_id == new.network_interfaces[0].network_id


async def test_a_new_vm_keeps_its_addresses_and_starts_when_asked(shared_lab: Lab) -> None:
    vm = await shared_lab.new_vm()
    configuration, disks = await _backed_up(shared_lab, vm)
    placement = Placement(
        pool=f"pools/{shared_lab.pool_id}", vm_display_name="twin", keep_mac_addresses=True, start=True
    )
    done = await _restored(shared_lab, placement, configuration, disks)
    macs = [each.mac for each in vm.network_interfaces]

    def runs_with_its_addresses(now: vm_pb2.Vm) -> bool:
        addresses = [each.mac for each in now.network_interfaces]
        return now.power_state == vm_pb2.Vm.POWER_STATE_RUNNING and len(now.disks) == 2 and addresses == macs

    await shared_lab.vm_with(done.vm, runs_with_its_addresses)
    assert not done.notices


async def test_over_the_original_it_is_the_same_vm_and_its_old_disks_are_gone(shared_lab: Lab) -> None:
    vm = await shared_lab.new_vm()
    configuration, disks = await _backed_up(shared_lab, vm)
    before = await shared_lab.hash_of(vm.disks[0].disk_id)
    await shared_lab.guest_writes(vm.disks[0].disk_id, 0, b"virus" + bytes(507))
    placement = Placement(pool="Lab", mode=Placement.MODE_ORIGINAL)
    done = await _restored(shared_lab, placement, configuration, disks)
    assert vm.name == done.vm
    new = await shared_lab.vm_with(vm.name, lambda now: now.disks != vm.disks and len(now.disks) == 2)
    assert vm_pb2.Vm.POWER_STATE_HALTED == new.power_state
    assert vm.network_interfaces == new.network_interfaces
    assert before == await shared_lab.hash_of(new.disks[0].disk_id)
    left = await shared_lab.session_call("VDI.get_all_records")
    assert not {disk.disk_id for disk in vm.disks} & {vdi["uuid"] for vdi in left.values()}
    live = [vdi["other_config"] for vdi in left.values() if not vdi["is_a_snapshot"]]
    tags = [key for config in live for key in config if key.startswith("xenkeep:")]
    assert [] == tags


async def test_over_an_original_that_is_gone_the_same_vm_is_made_again(shared_lab: Lab) -> None:
    vm = await shared_lab.new_vm(like="db", running=False)
    configuration, disks = await _backed_up(shared_lab, vm)
    ref = await shared_lab.session_call("VM.get_by_uuid", vm.name.rpartition("/")[2])
    await shared_lab.session_call("VM.destroy", ref)
    await shared_lab.event(events_pb2.VmRemoved, lambda event: event.vm == vm.name)
    placement = Placement(pool="Lab", mode=Placement.MODE_ORIGINAL, sr="Plain storage")
    done = await _restored(shared_lab, placement, configuration, disks)
    assert vm.name == done.vm
    new = await shared_lab.vm_with(done.vm, lambda now: bool(now.disks))
    assert ["Plain storage"] == [disk.sr_display_name for disk in new.disks]
    assert [each.mac for each in vm.network_interfaces] == [each.mac for each in new.network_interfaces]


async def test_a_disk_the_point_does_not_have_is_kept_and_told_of(shared_lab: Lab) -> None:
    vm = await shared_lab.new_vm()
    configuration, disks = await _backed_up(shared_lab, vm)
    placement = Placement(pool="Lab", mode=Placement.MODE_ORIGINAL)
    done = await _restored(shared_lab, placement, configuration, disks[:1])
    assert {"DISK_NOT_RESTORED", "DISK_KEPT_DETACHED"} == {notice.code for notice in done.notices}
    new = await shared_lab.vm_with(vm.name, lambda now: now.disks != vm.disks and len(now.disks) == 1)
    assert ["0"] == [disk.device for disk in new.disks]
    left = {vdi["uuid"] for vdi in (await shared_lab.session_call("VDI.get_all_records")).values()}
    assert vm.disks[1].disk_id in left


async def test_aborting_leaves_nothing_and_may_be_repeated(shared_lab: Lab) -> None:
    configuration, disks = await _backed_up(shared_lab, await shared_lab.new_vm())
    before = await _live_disks(shared_lab)
    prepared = await _prepared(shared_lab, Placement(pool="Lab"), configuration, disks)
    assert 2 == len(await _live_disks(shared_lab) - before)
    for _ in range(2):
        request = restore_target_pb2.AbortRestoreTargetRequest(name=prepared.name)
        await shared_lab.targets.AbortRestoreTarget(request, timeout=PATIENCE_S)
    assert before == await _live_disks(shared_lab)


async def test_a_commit_before_everything_is_written_is_refused(shared_lab: Lab) -> None:
    configuration, disks = await _backed_up(shared_lab, await shared_lab.new_vm())
    prepared = await _prepared(shared_lab, Placement(pool="Lab"), configuration, disks)
    await write_disk(prepared.disks[0].endpoint, DATA)
    request = restore_target_pb2.CommitRestoreTargetRequest(name=prepared.name)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await shared_lab.targets.CommitRestoreTarget(request, timeout=PATIENCE_S)
    assert grpc.StatusCode.ABORTED == refused.value.code()


async def test_an_unknown_storage_repository_is_named(shared_lab: Lab) -> None:
    configuration, disks = await _backed_up(shared_lab, await shared_lab.new_vm())
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await _prepared(shared_lab, Placement(pool="Lab", sr="Nowhere"), configuration, disks)
    assert grpc.StatusCode.NOT_FOUND == refused.value.code()
    assert "Nowhere" in (refused.value.details() or "")
