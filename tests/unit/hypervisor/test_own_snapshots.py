"""Snapshots that somebody took of a VM: described, or saved with it and restored as VMs of their own."""

import json
import uuid
from dataclasses import replace

import pytest

from services.chassis.errors import FailedPrecondition, InvalidInput, XenkeepError
from services.hypervisor.adapters.xapi_archive import Archive
from services.hypervisor.adapters.xapi_archive_parts import part, snapshots
from services.hypervisor.app.readables import Readable
from services.hypervisor.domain.capture import Options, OwnSnapshots
from services.hypervisor.domain.configuration import pack, unpack
from services.hypervisor.domain.disk_rules import DiskRules
from services.hypervisor.domain.source import Base, DiskKind, Source
from services.hypervisor.domain.target import Mode, Placement, RestoredMemory, Target, TargetDisk
from services.hypervisor.domain.tracking import FullReason
from services.hypervisor.domain.vm import Method, PowerState
from tests.support.hypervisor_house import POOL_ID
from tests.unit.hypervisor.scenes import Scene, codes
from tests.unit.hypervisor.test_metadata import RECORDED

SAVE = Options(own_snapshots=OwnSnapshots.SAVE)
NEW = Placement(POOL_ID, "", Mode.NEW_VM, "", keep_mac_addresses=False, start=False)


async def _restored(scene: Scene, point: Readable, placement: Placement) -> Target:
    id = str(uuid.uuid4())
    disks = tuple(TargetDisk(d.disk_id, d.size_bytes, d.display_name) for d in point.source.disks)
    _, endpoints = await scene.inside.targets.prepare(id, placement, point.configuration, disks)
    for endpoint, *_ in endpoints.values():
        scene.pool.tickets[endpoint.url.reveal().partition("?")[2]].written = True
    return await scene.inside.targets.commit(POOL_ID, id)


def _own(source: Source) -> list[str]:
    return [disk.disk_id for disk in source.disks if disk.kind is DiskKind.OWN_SNAPSHOT]


async def test_they_are_described_unless_the_policy_says_otherwise(scene: Scene) -> None:
    scene.pool.take_own_snapshot(scene.vm, "before")
    source = await scene.open(Method.NORMAL)
    assert ([], ["SNAPSHOTS_DESCRIBED"]) == (_own(source), codes(source))
    assert [False] == [each.saved for each in source.vm_snapshots]


async def test_their_disks_are_in_the_point_and_they_stay_as_they_are(scene: Scene) -> None:
    taken = scene.pool.take_own_snapshot(scene.vm, "before")
    disks = list(scene.pool.own_disks[taken.snapshot_id].values())
    point = await scene.readable(Method.NORMAL, SAVE)
    assert (disks, []) == (_own(point.source), codes(point.source))
    assert [True] == [each.saved for each in point.source.vm_snapshots]
    own = [disk for disk in point.source.disks if disk.kind is DiskKind.OWN_SNAPSHOT]
    assert [f"snapshot-{taken.snapshot_id}-{device}" for device in ("0", "1")] == [d.device for d in own]
    assert [FullReason.FIRST_BACKUP] * 2 == [disk.full_reason for disk in own]
    configured = unpack(point.configuration)
    assert configured == unpack(pack(configured))
    assert [taken.snapshot_id] == [each.snapshot_id for each in configured.own_snapshots]
    await scene.close(point.source)
    assert set(disks) <= set(scene.pool.disks)


async def test_what_an_earlier_point_has_is_not_read_again(scene: Scene) -> None:
    scene.pool.take_own_snapshot(scene.vm, "first")
    first = await scene.open(Method.NORMAL, SAVE)
    await scene.close(first)
    scene.pool.take_own_snapshot(scene.vm, "second")
    bases = tuple(Base(disk.disk_id, disk.tracking_ref) for disk in first.disks)
    again = await scene.inside.sources.open(
        POOL_ID, scene.vm.vm_id, str(uuid.uuid4()), Method.NORMAL, bases, FullReason.UNSPECIFIED, SAVE
    )
    own = [disk for disk in again.source.disks if disk.kind is DiskKind.OWN_SNAPSHOT]
    assert [True, True, False, False] == [disk.incremental for disk in own]
    assert [0, 0] == [disk.changed_bytes for disk in own[:2]]
    id = again.source.source_id
    for disk in own[:2]:
        assert [] == list(await scene.inside.sources.extents(POOL_ID, id, disk.disk_id))
    assert [FullReason.FIRST_BACKUP] * 2 == [disk.full_reason for disk in own[2:]]


async def test_a_snapshot_that_is_gone_says_nothing_of_the_vms_disks(scene: Scene) -> None:
    scene.pool.take_own_snapshot(scene.vm, "gone soon")
    first = await scene.open(Method.NORMAL, SAVE)
    await scene.close(first)
    scene.vm.own_snapshots = ()
    added = scene.pool.add_disk("new")
    scene.vm.disks["2"] = added.disk_id
    bases = tuple(Base(disk.disk_id, disk.tracking_ref) for disk in first.disks)
    again = await scene.inside.sources.open(
        POOL_ID, scene.vm.vm_id, str(uuid.uuid4()), Method.NORMAL, bases, FullReason.UNSPECIFIED, SAVE
    )
    assert [FullReason.UNSPECIFIED, FullReason.UNSPECIFIED, FullReason.FIRST_BACKUP] == [
        disk.full_reason for disk in again.source.disks
    ]


async def test_one_that_cannot_be_read_is_described_and_told(scene: Scene) -> None:
    bad = scene.pool.take_own_snapshot(scene.vm, "without data")
    scene.pool.take_own_snapshot(scene.vm, "good")
    scene.pool.disks[scene.pool.own_disks[bad.snapshot_id]["0"]].obstacle = "its data was removed"
    source = await scene.open(Method.NORMAL, SAVE)
    assert ["SNAPSHOT_NOT_SAVED", "SNAPSHOTS_DESCRIBED"] == codes(source)
    assert "'without data'" in source.notices[0].message
    assert "its data was removed" in source.notices[0].message
    assert [False, True] == [each.saved for each in source.vm_snapshots]


async def test_memory_in_one_is_saved_once_and_a_vm_made_of_it_is_suspended(scene: Scene) -> None:
    taken = scene.pool.take_own_snapshot(scene.vm, "asleep", memory=True)
    image = scene.pool.own_images[taken.snapshot_id]
    point = await scene.readable(Method.NORMAL, SAVE)
    assert ([*scene.pool.own_disks[taken.snapshot_id].values(), image], []) == (
        _own(point.source),
        codes(point.source),
    )
    await scene.close(point.source)
    configured = unpack(point.configuration)
    assert configured == unpack(pack(configured))
    [saved] = configured.own_snapshots
    assert saved.memory is not None
    assert (image, None) == (saved.memory.disk_id, configured.memory)
    done = await _restored(scene, point, replace(NEW, own_snapshot_id=taken.snapshot_id))
    made = scene.pool.vms[done.vm_id]
    assert (PowerState.SUSPENDED, ["MEMORY_OF_THE_ORIGINAL"]) == (
        made.power_state,
        [notice.code for notice in done.notices],
    )
    assert {made.image} | set(made.disks.values()) == {disk.new_disk_id for disk in done.disks}
    alone = await _restored(scene, point, NEW)
    assert (PowerState.HALTED, 2) == (scene.pool.vms[alone.vm_id].power_state, len(alone.disks))


async def test_memory_that_no_host_can_resume_is_refused_of_a_snapshot_too(scene: Scene) -> None:
    taken = scene.pool.take_own_snapshot(scene.vm, "asleep", memory=True)
    point = await scene.readable(Method.NORMAL, SAVE)
    await scene.close(point.source)
    wanted = replace(NEW, own_snapshot_id=taken.snapshot_id)
    scene.pool.cpus = (replace(scene.pool.cpus[0], vendor="AuthenticAMD"),)
    with pytest.raises(FailedPrecondition) as refused:
        await _restored(scene, point, wanted)
    assert "MEMORY_NOT_RESUMABLE" == refused.value.reason
    done = await _restored(scene, point, replace(wanted, memory=RestoredMemory.WITHOUT))
    assert PowerState.HALTED is scene.pool.vms[done.vm_id].power_state


async def test_memory_that_cannot_be_saved_is_told_and_the_disks_are(scene: Scene) -> None:
    taken = scene.pool.take_own_snapshot(scene.vm, "asleep", memory=True)
    left_out = replace(SAVE, disks=DiskRules(exclude=("device:1",)))
    source = await scene.open(Method.NORMAL, left_out)
    assert ["SNAPSHOT_MEMORY_NOT_SAVED"] == [code for code in codes(source) if code.startswith("SNAPSHOT")]
    del scene.pool.disks[scene.pool.own_images[taken.snapshot_id]]
    point = await scene.readable(Method.NORMAL, SAVE)
    assert (["SNAPSHOT_MEMORY_NOT_SAVED"], 2) == (codes(point.source), len(_own(point.source)))
    assert "'asleep'" in point.source.notices[0].message
    done = await _restored(scene, point, replace(NEW, own_snapshot_id=taken.snapshot_id))
    assert ["MEMORY_NOT_RESTORED"] == [notice.code for notice in done.notices]
    assert PowerState.HALTED is scene.pool.vms[done.vm_id].power_state
    alone = await _restored(scene, point, NEW)
    assert () == alone.notices


async def test_points_that_were_made_before_memory_was_saved_are_read(scene: Scene) -> None:
    scene.pool.take_own_snapshot(scene.vm, "before", memory=True)
    point = await scene.readable(Method.NORMAL, SAVE)
    head, rest = point.configuration[:9], point.configuration[9:]
    length = int.from_bytes(head[5:], "little")
    header = json.loads(rest[:length])
    for field in ("memory", "with_memory"):
        del header["own_snapshots"][0][field]
    text = json.dumps(header).encode()
    older = head[:5] + len(text).to_bytes(4, "little") + text + rest[length:]
    assert [None] == [each.memory for each in unpack(older).own_snapshots]


async def test_disks_that_rules_leave_out_are_left_out_of_snapshots_too(scene: Scene) -> None:
    taken = scene.pool.take_own_snapshot(scene.vm, "before")
    options = replace(SAVE, disks=DiskRules(exclude=("device:1",)))
    source = await scene.open(Method.NORMAL, options)
    assert [scene.pool.own_disks[taken.snapshot_id]["0"]] == _own(source)


async def test_a_vm_is_made_of_one_and_the_original_is_as_it_was(scene: Scene) -> None:
    taken = scene.pool.take_own_snapshot(scene.vm, "before the upgrade")
    point = await scene.readable(Method.NORMAL, SAVE)
    await scene.close(point.source)
    done = await _restored(scene, point, replace(NEW, own_snapshot_id=taken.snapshot_id))
    made = scene.pool.vms[done.vm_id]
    assert ("before the upgrade", ["0", "1"], ()) == (made.name, list(made.disks), done.notices)
    assert len(made.disks) == len(done.disks)
    assert scene.vm.vm_id in scene.pool.vms


@pytest.mark.parametrize("mode", list(Mode))
async def test_the_vm_itself_comes_back_without_them(scene: Scene, mode: Mode) -> None:
    scene.pool.take_own_snapshot(scene.vm, "before")
    point = await scene.readable(Method.NORMAL, SAVE)
    await scene.close(point.source)
    done = await _restored(scene, point, replace(NEW, mode=mode))
    assert (2, "web") == (len(done.disks), scene.pool.vms[done.vm_id].name)
    assert not [notice for notice in done.notices if notice.code == "DISK_NOT_RESTORED"]


async def test_what_cannot_be_made_of_one_is_refused_before_anything_is_made(scene: Scene) -> None:
    taken = scene.pool.take_own_snapshot(scene.vm, "before")
    point = await scene.readable(Method.NORMAL, SAVE)
    before = set(scene.pool.disks)

    async def refused(error: type[XenkeepError], placement: Placement) -> str:
        with pytest.raises(error) as refusal:
            await _restored(scene, point, placement)
        assert refusal.value.hint
        return refusal.value.reason

    over = replace(NEW, mode=Mode.ORIGINAL, own_snapshot_id=taken.snapshot_id)
    assert "SNAPSHOT_OVER_ORIGINAL" == await refused(InvalidInput, over)
    other = replace(NEW, own_snapshot_id=str(uuid.uuid4()))
    assert "SNAPSHOT_NOT_IN_POINT" == await refused(FailedPrecondition, other)
    assert before == set(scene.pool.disks)


def test_of_an_export_with_snapshots_the_vm_stays_alone() -> None:
    assert snapshots(RECORDED)
    alone = Archive(part(RECORDED, ""))
    assert [Archive(RECORDED).vm().text("uuid")] == [vm.text("uuid") for vm in alone.of("VM")]
    for kind in ("VBD", "VIF"):
        assert {alone.vm().id} == {each.text("VM") for each in alone.of(kind)}
    used = {drive.text("VDI") for drive in alone.of("VBD")}
    assert {vdi.id for vdi in alone.of("VDI")} <= used
    assert not snapshots(part(RECORDED, ""))


@pytest.mark.parametrize("chosen", sorted(snapshots(RECORDED)))
def test_of_an_export_with_snapshots_each_becomes_a_vm(chosen: str) -> None:
    made = Archive(part(RECORDED, chosen)).vm()
    assert (chosen, False, "OpaqueRef:NULL") == (
        made.text("uuid"),
        made.true("is_a_template"),
        made.text("snapshot_of"),
    )
