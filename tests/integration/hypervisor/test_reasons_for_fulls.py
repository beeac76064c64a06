"""Every full that could have been an incremental says why, to whoever opens the source.

That a disk shrank (``DISK_RESIZED``) is tried on the rules alone: no pool shrinks disks.
"""

from typing import Any

import pytest
from xenkeep.common.v1 import capture_pb2
from xenkeep.hypervisor.v1 import backup_source_pb2, vm_pb2
from xenkeep.simulator.v1 import simulator_pb2

from tests.support.hypervisor import Lab, bases
from tests.support.pool import MIB

pytestmark = pytest.mark.asyncio(loop_scope="module")

Base = backup_source_pb2.DiskBase


async def _reasons(lab: Lab, vm: vm_pb2.Vm, base: list[Base], **more: Any) -> dict[str, tuple[str, str]]:
    """By device: the code without what all have in common, and the sentence."""
    source = await lab.open(vm, base, **more)
    await lab.close(source.name, committed=False)
    return {
        disk.device: (
            capture_pb2.FullReason.Name(disk.full_reason).removeprefix("FULL_REASON_"),
            disk.full_reason_message,
        )
        for disk in source.disks
    }


async def test_a_disk_without_a_base_says_what_was_asked_for(shared_lab: Lab) -> None:
    vm = await shared_lab.new_vm(running=False)
    for asked in ("REQUESTED", "FIRST_BACKUP", "BASE_POINT_UNUSABLE"):
        told = await _reasons(shared_lab, vm, [], full_reason=f"FULL_REASON_{asked}")
        assert {asked} == {reason for reason, _ in told.values()}
        assert all(words.endswith(".") for _, words in told.values())


async def test_a_disk_that_came_later_is_full_and_the_other_is_not(shared_lab: Lab) -> None:
    vm = await shared_lab.new_vm(running=False)
    first = bases(await shared_lab.backed_up(vm))
    told = await _reasons(shared_lab, vm, first[:1])
    assert {"0": "UNSPECIFIED", "1": "FIRST_BACKUP"} == {
        device: reason for device, (reason, _) in told.items()
    }


async def test_tracking_that_was_off_or_was_lost_is_told(shared_lab: Lab) -> None:
    vm = await shared_lab.new_vm(running=False)
    first = bases(await shared_lab.backed_up(vm))
    without = [Base(disk_id=base.disk_id) for base in first]
    told = await _reasons(shared_lab, vm, without)
    assert {"TRACKING_WAS_OFF"} == {reason for reason, _ in told.values()}
    off = await shared_lab.session_call("VDI.get_by_uuid", vm.disks[0].disk_id)
    await shared_lab.session_call("VDI.disable_cbt", off)
    told = await _reasons(shared_lab, vm, first)
    assert ("TRACKING_LOST", "UNSPECIFIED") == (told["0"][0], told["1"][0])
    assert "switched on again" in told["0"][1]


@pytest.mark.parametrize(
    "moment",
    [
        simulator_pb2.LoseChangedBlockTrackingRequest.MOMENT_UNSPECIFIED,
        simulator_pb2.LoseChangedBlockTrackingRequest.MOMENT_SNAPSHOT,
    ],
)
async def test_changes_the_pool_has_lost_are_told_in_its_words(
    shared_lab: Lab, moment: simulator_pb2.LoseChangedBlockTrackingRequest.Moment.ValueType
) -> None:
    """Before, or by the very snapshot that is to be backed up."""
    vm = await shared_lab.new_vm(running=False)
    first = bases(await shared_lab.backed_up(vm))
    lost = simulator_pb2.LoseChangedBlockTrackingRequest(disk_id=vm.disks[1].disk_id, moment=moment)
    await shared_lab.simulator.LoseChangedBlockTracking(lost)
    told = await _reasons(shared_lab, vm, first)
    assert ("UNSPECIFIED", "TRACKING_LOST") == (told["0"][0], told["1"][0])


async def test_a_base_somebody_removed_is_told_by_name(shared_lab: Lab) -> None:
    vm = await shared_lab.new_vm(running=False)
    first = bases(await shared_lab.backed_up(vm))
    gone = await shared_lab.session_call("VDI.get_by_uuid", first[0].tracking_ref)
    await shared_lab.session_call("VDI.destroy", gone)
    told = await _reasons(shared_lab, vm, first)
    assert ("BASE_SNAPSHOT_GONE", "UNSPECIFIED") == (told["0"][0], told["1"][0])
    assert first[0].tracking_ref in told["0"][1]


async def test_a_disk_that_was_enlarged_stays_incremental(shared_lab: Lab) -> None:
    vm = await shared_lab.new_vm(running=False)
    first = bases(await shared_lab.backed_up(vm))
    ref = await shared_lab.session_call("VDI.get_by_uuid", vm.disks[0].disk_id)
    await shared_lab.session_call("VDI.resize", ref, str(vm.disks[0].size_bytes + 4 * MIB))
    told = await _reasons(shared_lab, vm, first)
    assert {"UNSPECIFIED"} == {reason for reason, _ in told.values()}


async def test_storage_that_cannot_track_is_told(shared_lab: Lab) -> None:
    [sr] = await shared_lab.session_call("SR.get_by_name_label", "Plain storage")
    vm = await shared_lab.new_vm(running=False)
    ref = await shared_lab.session_call("VDI.get_by_uuid", vm.disks[0].disk_id)
    copy = await shared_lab.session_call("VDI.copy", ref, sr)
    [vbd, *_] = await shared_lab.session_call("VDI.get_VBDs", ref)
    place = await shared_lab.session_call("VBD.get_record", vbd)
    await shared_lab.session_call("VBD.destroy", vbd)
    await shared_lab.session_call("VBD.create", place | {"VDI": copy})
    moved = await shared_lab.session_call("VDI.get_uuid", copy)
    told = await _reasons(shared_lab, vm, [Base(disk_id=moved)])
    assert "TRACKING_UNSUPPORTED" == told["0"][0]
