"""Whatever a transfer leaves behind is removed, and nothing that is anybody else's."""

import uuid

import pytest
from google.protobuf.message import Message
from xenkeep.hypervisor.v1 import backup_source_pb2, restore_target_pb2
from xenkeep.mover.v1 import events_pb2

from services.chassis.bus import cloudevents, subjects
from services.chassis.clock import SystemClock
from tests.faults.hypervisor.pool_view import disks, gone, snapshots
from tests.support.hypervisor import PATIENCE_S, Lab


async def _told(lab: Lab, event: Message) -> None:
    """Publishes as the mover would."""
    envelope = cloudevents.wrap(
        event, id=str(uuid.uuid4()), source="xenkeep/mover", subject_id="", time=SystemClock().now()
    )
    async with lab.nats.bus("mover") as bus:
        await bus.js.publish(subjects.of_event(type(event)), envelope.body, headers=dict(envelope.headers))


def _transfer(name: str) -> str:
    return f"transfers/{name.rpartition('/')[2]}"


@pytest.mark.scenario("Xen Orchestra #8713")
async def test_a_failed_transfer_leaves_no_snapshot_and_takes_no_foreign_one(lab: Lab) -> None:
    vm = await lab.vm("web")
    ref = await lab.session_call("VM.get_by_uuid", vm.name.rpartition("/")[2])
    theirs = await lab.session_call("VM.snapshot", ref, "before the upgrade")
    before = await disks(lab)
    source = await lab.open(vm)
    [ours] = (await snapshots(lab)).keys() - {theirs}
    copy = await lab.session_call("VM.clone", ours, "a person cloned our snapshot")
    with_copy = (await disks(lab)).keys()
    await _told(lab, events_pb2.TransferFailed(transfer=_transfer(source.name)))
    await gone(lab, "VM", ours)
    request = backup_source_pb2.CloseBackupSourceRequest(name=source.name)
    await lab.sources.CloseBackupSource(request, timeout=PATIENCE_S)
    left = await snapshots(lab)
    assert {theirs} == left.keys()
    assert await lab.session_call("VM.get_name_label", copy)
    now = (await disks(lab)).keys()
    assert before.keys() <= now <= with_copy
    assert len(before) + 2 == len(now)


async def test_a_cancelled_restore_leaves_no_disk(lab: Lab) -> None:
    source = await lab.backed_up(await lab.vm("web"))
    before = await disks(lab)
    request = restore_target_pb2.PrepareRestoreTargetRequest(
        restore_target_id=str(uuid.uuid4()),
        placement=restore_target_pb2.Placement(pool="Lab"),
        vm_configuration=source.vm_configuration,
        disks=[
            restore_target_pb2.DiskToRestore(
                disk_id=disk.disk_id, size_bytes=disk.size_bytes, display_name=disk.display_name
            )
            for disk in source.disks
        ],
    )
    target = await lab.targets.PrepareRestoreTarget(request, timeout=PATIENCE_S)
    made = (await disks(lab)).keys() - before.keys()
    assert 2 == len(made)
    await _told(lab, events_pb2.TransferCancelled(transfer=_transfer(target.name)))
    for ref in made:
        await gone(lab, "VDI", ref)


async def test_another_xenkeep_on_the_same_pool_is_left_alone(lab: Lab) -> None:
    vm = await lab.vm("web")
    ref = await lab.session_call("VM.get_by_uuid", vm.name.rpartition("/")[2])
    theirs = await lab.session_call("VM.snapshot", ref, f"xenkeep-{uuid.uuid4()}")
    source = await lab.open(vm)
    [ours] = (await snapshots(lab)).keys() - {theirs}
    await lab.process.kill()
    await lab.restarted()
    await _told(lab, events_pb2.TransferFailed(transfer=_transfer(source.name)))
    await gone(lab, "VM", ours)
    assert {theirs} == (await snapshots(lab)).keys()


async def test_what_a_dead_mover_left_attached_to_control_domains_is_detached(lab: Lab) -> None:
    source = await lab.open(await lab.vm("web"))
    [snapshot] = await snapshots(lab)
    [vbd, *_] = await lab.session_call("VM.get_VBDs", snapshot)
    vdi = await lab.session_call("VBD.get_VDI", vbd)
    [theirs] = await lab.session_call("VM.get_by_name_label", "db")
    kept = await lab.session_call("VM.get_VBDs", theirs)
    attached = []
    for ref, vm in (await lab.session_call("VM.get_all_records")).items():
        if vm["is_control_domain"]:
            attached.append(await lab.session_call("VBD.create", _reader(ref, vdi)))
            await lab.session_call("VBD.plug", attached[-1])
    assert 3 == len(attached)
    await lab.close(source.name, committed=False)
    now = await lab.session_call("VBD.get_all")
    assert not set(attached) & set(now)
    assert set(kept) <= set(now)


def _reader(vm: str, vdi: str) -> dict[str, object]:
    """As a host's NBD server makes one for each connection."""
    return {
        "VM": vm,
        "VDI": vdi,
        "userdevice": "autodetect",
        "bootable": False,
        "mode": "RO",
        "type": "Disk",
        "unpluggable": True,
        "empty": False,
        "other_config": {},
        "qos_algorithm_type": "",
        "qos_algorithm_params": {},
    }
