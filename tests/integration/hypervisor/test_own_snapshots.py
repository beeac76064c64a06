"""Of a simulated pool: a VM made of a snapshot somebody took, from a point that saved it."""

import uuid
from pathlib import Path
from typing import Any

import pytest
from xenkeep.common.v1 import capture_pb2
from xenkeep.hypervisor.v1 import backup_source_pb2, restore_target_pb2, vm_pb2
from xenkeep.simulator.v1 import simulator_pb2

from tests.support.hypervisor import PATIENCE_S, Lab, bases, write_disk

pytestmark = pytest.mark.asyncio(loop_scope="module")

Pieces = list[tuple[int, bytes]]

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


async def _memory(
    lab: Lab, source: backup_source_pb2.BackupSource, checkpoint: dict[str, Any], folder: Path
) -> dict[str, Pieces]:
    """What a mover would read of a checkpoint's memory, by the image's UUID."""
    image = await lab.session_call("VDI.get_uuid", checkpoint["suspend_VDI"])
    file = folder / image
    await lab.simulator.CopyDisk(simulator_pb2.CopyDiskRequest(disk_id=image, path=str(file)))
    pieces = []
    with file.open("rb") as opened:
        for offset, length in await lab.extents(source.name, image):
            opened.seek(offset)
            pieces.append((offset, opened.read(length)))
    return {image: pieces}


async def _restored(
    lab: Lab, source: backup_source_pb2.BackupSource, data: dict[str, Pieces], **placement: Any
) -> tuple[restore_target_pb2.RestoreTarget, dict[str, Any]]:
    """Disks that there is no ``data`` for are given some."""
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
        await write_disk(disk.endpoint, data.get(disk.disk_id, [(0, b"data" * 1024)]))
    request = restore_target_pb2.CommitRestoreTargetRequest(name=target.name)
    done = await lab.targets.CommitRestoreTarget(request, timeout=PATIENCE_S)
    ref = await lab.session_call("VM.get_by_uuid", done.vm.rpartition("/")[2])
    return done, await lab.session_call("VM.get_record", ref)


async def test_each_snapshot_becomes_a_vm_of_its_own(shared_lab: Lab, tmp_path: Path) -> None:
    vm, taken = await _snapped(shared_lab)
    source = await shared_lab.open(vm, options=SAVE)
    data = await _memory(shared_lab, source, taken[1], tmp_path)
    await shared_lab.close(source.name, committed=True)
    assert [True, True] == [each.saved for each in source.vm_snapshots]
    assert [] == list(source.notices)
    assert 2 + 2 * 2 + 1 == len(source.disks)
    for snapshot, described, memory in zip(taken, ("as it was", "changed since"), (0, 1), strict=True):
        done, made = await _restored(shared_lab, source, data, vm_snapshot=snapshot["uuid"], start=True)
        assert ["MEMORY_OF_THE_ORIGINAL"] * memory == [notice.code for notice in done.notices]
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
        assert (2 + memory, 1) == (len(done.disks), len(made["VIFs"]))
    for snapshot in taken:
        assert await shared_lab.session_call("VM.get_by_uuid", snapshot["uuid"])


async def test_a_checkpoint_comes_back_suspended_with_its_memory_or_without(
    shared_lab: Lab, tmp_path: Path
) -> None:
    vm, (_, checkpoint) = await _snapped(shared_lab)
    source = await shared_lab.open(vm, options=SAVE)
    image = await shared_lab.session_call("VDI.get_uuid", checkpoint["suspend_VDI"])
    [memory] = [disk for disk in source.disks if disk.disk_id == image]
    assert (OWN, f"snapshot-{checkpoint['uuid']}-memory", f"unchanging:{image}") == (
        memory.kind,
        memory.device,
        memory.tracking_ref,
    )
    assert memory.nbd_endpoints
    data = await _memory(shared_lab, source, checkpoint, tmp_path)
    assert 0 < sum(len(piece) for _, piece in data[image]) < memory.size_bytes
    await shared_lab.close(source.name, committed=True)

    done, made = await _restored(shared_lab, source, data, vm_snapshot=checkpoint["uuid"])
    assert ("Suspended", ["MEMORY_OF_THE_ORIGINAL"]) == (
        made["power_state"],
        [notice.code for notice in done.notices],
    )
    vdi = await shared_lab.session_call("VDI.get_record", made["suspend_VDI"])
    assert "suspend" == vdi["type"]
    assert [] == [key for key in vdi["other_config"] if key.startswith("xenkeep:")]
    assert await shared_lab.hash_of(image) == await shared_lab.hash_of(vdi["uuid"])
    ref = await shared_lab.session_call("VM.get_by_uuid", made["uuid"])
    await shared_lab.session_call("VM.resume", ref, False, False)
    assert "Running" == await shared_lab.session_call("VM.get_power_state", ref)

    done, made = await _restored(
        shared_lab, source, {}, vm_snapshot=checkpoint["uuid"], memory=Placement.MEMORY_WITHOUT
    )
    assert ("Halted", ["MEMORY_NOT_RESTORED"]) == (
        made["power_state"],
        [notice.code for notice in done.notices],
    )
    still = await shared_lab.session_call("VDI.get_by_uuid", image)
    assert checkpoint["suspend_VDI"] == still, "what is somebody's stays"


async def test_where_a_disk_is_left_out_the_memory_is_too_and_that_is_told(shared_lab: Lab) -> None:
    vm, _ = await _snapped(shared_lab)
    rules = capture_pb2.DiskRules(exclude=["device:1"])
    options = capture_pb2.CaptureOptions(own_snapshots=SAVE.own_snapshots, disks=rules)
    source = await shared_lab.open(vm, options=options)
    codes = [notice.code for notice in source.notices]
    assert 1 == codes.count("SNAPSHOT_MEMORY_NOT_SAVED")
    assert 1 + 2 == len(source.disks)
    await shared_lab.close(source.name, committed=False)


async def test_the_tree_of_snapshots_is_told(shared_lab: Lab) -> None:
    vm = await shared_lab.new_vm(running=False)
    ref = await shared_lab.session_call("VM.get_by_uuid", vm.name.rpartition("/")[2])
    root = await shared_lab.session_call("VM.snapshot", ref, "root")
    await shared_lab.session_call("VM.snapshot", ref, "first branch")
    await shared_lab.session_call("VM.revert", root)
    backed_up = await shared_lab.backed_up(await shared_lab.vm(vm.name))
    await shared_lab.session_call("VM.snapshot", ref, "second branch")
    source = await shared_lab.open(await shared_lab.vm(vm.name), bases(backed_up))
    names = {each.snapshot_id: each.display_name for each in source.vm_snapshots}
    tree = {each.display_name: names.get(each.parent_id, "") for each in source.vm_snapshots}
    assert {"root": "", "first branch": "root", "second branch": "root"} == tree
    assert {False} == {each.with_memory for each in source.vm_snapshots}
    await shared_lab.close(source.name, committed=False)


async def test_the_vm_itself_comes_back_over_the_original_as_without_snapshots(shared_lab: Lab) -> None:
    vm, _ = await _snapped(shared_lab)
    source = await shared_lab.open(vm, options=SAVE)
    await shared_lab.close(source.name, committed=True)
    done, made = await _restored(shared_lab, source, {}, mode=Placement.MODE_ORIGINAL)
    assert ([], vm.name, 2) == (list(done.notices), done.vm, len(done.disks))
    assert ("changed since", []) == (made["name_description"], made["snapshots"])


async def test_nothing_of_a_snapshot_that_an_earlier_point_has_is_read_again(shared_lab: Lab) -> None:
    vm, taken = await _snapped(shared_lab)
    first = await shared_lab.open(vm, options=SAVE)
    await shared_lab.close(first.name, committed=True)
    second = await shared_lab.open(vm, bases(first), options=SAVE)
    own = [disk for disk in second.disks if disk.kind == OWN]
    assert 2 * len(taken) + 1 == len(own)
    for disk in own:
        assert (capture_pb2.LEVEL_INCREMENTAL, 0) == (disk.level, disk.changed_bytes)
        assert [] == await shared_lab.extents(second.name, disk.disk_id)
    await shared_lab.close(second.name, committed=True)
