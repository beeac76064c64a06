"""Of a simulated pool: a VM made of a snapshot somebody took, from a point that saved it."""

import uuid
from typing import Any

import pytest
from xenkeep.common.v1 import capture_pb2
from xenkeep.hypervisor.v1 import backup_source_pb2, restore_target_pb2, vm_pb2

from tests.support.hypervisor import PATIENCE_S, Lab, bases, write_disk

pytestmark = pytest.mark.asyncio(loop_scope="module")

Placement = restore_target_pb2.Placement
SAVE = capture_pb2.CaptureOptions(own_snapshots=capture_pb2.CaptureOptions.OWN_SNAPSHOTS_SAVE)
OWN = capture_pb2.DISK_KIND_OWN_SNAPSHOT


async def _snapped(lab: Lab) -> tuple[vm_pb2.Vm, list[dict[str, Any]]]:
    """A VM with a snapshot and a checkpoint; the second is called as the first."""
    vm = await lab.new_vm()
    ref = await lab.session_call("VM.get_by_uuid", vm.name.rpartition("/")[2])
    await lab.session_call("VM.set_name_description", ref, "as it was")
    taken = [await lab.session_call("VM.snapshot", ref, "before")]
    await lab.session_call("VM.set_name_description", ref, "changed since")
    taken.append(await lab.session_call("VM.checkpoint", ref, "before"))
    return vm, [await lab.session_call("VM.get_record", each) for each in taken]


async def _restored(
    lab: Lab, source: backup_source_pb2.BackupSource, **placement: Any
) -> tuple[restore_target_pb2.RestoreTarget, dict[str, Any]]:
    target = await lab.targets.PrepareRestoreTarget(
        restore_target_pb2.PrepareRestoreTargetRequest(
            restore_target_id=str(uuid.uuid4()),
            placement=Placement(pool=f"pools/{lab.pool_id}", **placement),
            vm_configuration=source.vm_configuration,
            disks=[
                restore_target_pb2.DiskToRestore(disk_id=disk.disk_id, size_bytes=disk.size_bytes)
                for disk in source.disks
            ],
        ),
        timeout=PATIENCE_S,
    )
    for disk in target.disks:
        await write_disk(disk.endpoint, [(0, b"data" * 1024)])
    request = restore_target_pb2.CommitRestoreTargetRequest(name=target.name)
    done = await lab.targets.CommitRestoreTarget(request, timeout=PATIENCE_S)
    ref = await lab.session_call("VM.get_by_uuid", done.vm.rpartition("/")[2])
    return done, await lab.session_call("VM.get_record", ref)


async def test_each_snapshot_becomes_a_vm_of_its_own(shared_lab: Lab) -> None:
    vm, taken = await _snapped(shared_lab)
    source = await shared_lab.open(vm, options=SAVE)
    await shared_lab.close(source.name, committed=True)
    assert [True, True] == [each.saved for each in source.vm_snapshots]
    assert ["SNAPSHOT_MEMORY_NOT_SAVED"] == [notice.code for notice in source.notices]
    assert 2 + 2 * 2 == len(source.disks)
    for snapshot, described in zip(taken, ("as it was", "changed since"), strict=True):
        done, made = await _restored(shared_lab, source, vm_snapshot=snapshot["uuid"], start=True)
        assert [] == list(done.notices)
        assert ("before", described, "Running") == (
            made["name_label"],
            made["name_description"],
            made["power_state"],
        )
        assert (False, False, [], "OpaqueRef:NULL") == (
            made["is_a_snapshot"],
            made["is_a_template"],
            made["snapshots"],
            made["snapshot_of"],
        )
        assert snapshot["uuid"] != made["uuid"]
        assert (2, 1) == (len(done.disks), len(made["VIFs"]))
    for snapshot in taken:
        assert await shared_lab.session_call("VM.get_by_uuid", snapshot["uuid"])


async def test_the_vm_itself_comes_back_over_the_original_as_without_snapshots(shared_lab: Lab) -> None:
    vm, _ = await _snapped(shared_lab)
    source = await shared_lab.open(vm, options=SAVE)
    await shared_lab.close(source.name, committed=True)
    done, made = await _restored(shared_lab, source, mode=Placement.MODE_ORIGINAL)
    assert ([], vm.name, 2) == (list(done.notices), done.vm, len(done.disks))
    assert ("changed since", []) == (made["name_description"], made["snapshots"])


async def test_nothing_of_a_snapshot_that_an_earlier_point_has_is_read_again(shared_lab: Lab) -> None:
    vm, taken = await _snapped(shared_lab)
    first = await shared_lab.open(vm, options=SAVE)
    await shared_lab.close(first.name, committed=True)
    second = await shared_lab.open(vm, bases(first), options=SAVE)
    own = [disk for disk in second.disks if disk.kind == OWN]
    assert 2 * len(taken) == len(own)
    for disk in own:
        assert (capture_pb2.LEVEL_INCREMENTAL, 0) == (disk.level, disk.changed_bytes)
        assert [] == await shared_lab.extents(second.name, disk.disk_id)
    await shared_lab.close(second.name, committed=True)
