"""Memory in a point: captured with the disks or not at all, and put back where it can run."""

import uuid
from dataclasses import replace
from typing import Any

import pytest

from services.chassis.errors import Aborted, DataLoss, FailedPrecondition
from services.hypervisor.app.readables import Readable
from services.hypervisor.domain.capture import MemoryWish, Options
from services.hypervisor.domain.configuration import pack, unpack
from services.hypervisor.domain.disk_rules import DiskRules
from services.hypervisor.domain.memory import Cpu, HostCpu, cpu_obstacle
from services.hypervisor.domain.source import Consistency, DiskKind
from services.hypervisor.domain.target import Mode, Placement, RestoredMemory, Target, TargetDisk
from services.hypervisor.domain.tracking import FullReason
from services.hypervisor.domain.vm import Method, PowerState
from services.hypervisor.ports.snapshots import Snapshot
from tests.support.hypervisor_house import POOL_ID
from tests.unit.hypervisor.scenes import Scene, codes

PREFER = Options(memory=MemoryWish(required=False))
NEW = Placement(POOL_ID, "", Mode.NEW_VM, "copy", keep_mac_addresses=False, start=False)
ORIGINAL = replace(NEW, mode=Mode.ORIGINAL)
HOST = HostCpu("h", "host 1", "GenuineIntel", "00000003-0000000f", "00000001")


async def _restored(scene: Scene, point: Readable, placement: Placement) -> Target:
    id = str(uuid.uuid4())
    disks = tuple(TargetDisk(d.disk_id, d.size_bytes, d.display_name) for d in point.source.disks)
    _, endpoints = await scene.inside.targets.prepare(id, placement, point.configuration, disks)
    for endpoint, *_ in endpoints.values():
        scene.pool.tickets[endpoint.url.reveal().partition("?")[2]].written = True
    return await scene.inside.targets.commit(POOL_ID, id)


async def _refused(scene: Scene, point: Readable, placement: Placement) -> str:
    with pytest.raises(FailedPrecondition) as refused:
        await _restored(scene, point, placement)
    assert refused.value.hint
    return refused.value.reason


async def test_memory_is_one_more_disk_of_the_point_and_the_vm_runs_on(scene: Scene) -> None:
    source = await scene.open(Method.MEMORY)
    assert (Consistency.MEMORY, ()) == (source.consistency, source.notices)
    assert ["0", "1", "memory"] == [disk.device for disk in source.disks]
    image = source.disks[-1]
    assert (DiskKind.SUSPEND_IMAGE, FullReason.SUSPEND_IMAGE, "") == (
        image.kind,
        image.full_reason,
        image.tracking_ref,
    )
    assert PowerState.RUNNING is scene.vm.power_state
    await scene.close(source)
    assert not any(disk.name == "Suspend image" for disk in scene.pool.disks.values())


async def test_what_a_restore_has_to_know_is_in_the_configuration(scene: Scene) -> None:
    scene.vm.cpu, scene.vm.domain_controller_hint = Cpu("AuthenticAMD", "1f", hvm=False), "it has a tag"
    options = Options(memory=MemoryWish(domain_controllers=True))
    point = await scene.readable(Method.MEMORY, options)
    configured = unpack(point.configuration)
    assert configured.memory is not None
    assert (scene.vm.cpu, "it has a tag") == (
        configured.memory.cpu,
        configured.memory.domain_controller_hint,
    )
    assert configured.memory.disk_id == point.source.disks[-1].disk_id == configured.disks[-1].disk_id
    assert configured == unpack(pack(configured))
    assert unpack(pack(replace(configured, memory=None))).memory is None


async def test_memory_that_cannot_be_had_is_refused_with_the_reason(scene: Scene) -> None:
    scene.vm.memory_obstacle = "it uses a vGPU"
    for options in (Options(), Options(memory=MemoryWish(required=True))):
        with pytest.raises(FailedPrecondition, match="it uses a vGPU") as refused:
            await scene.open(Method.MEMORY, options)
        assert "MEMORY_IMPOSSIBLE" == refused.value.reason
    assert scene.untouched


async def test_memory_that_is_preferred_and_cannot_be_had_is_told_of(scene: Scene) -> None:
    scene.vm.memory_obstacle = "it uses a vGPU"
    source = await scene.open(Method.MEMORY, PREFER)
    assert (Consistency.CRASH, ["MEMORY_DOWNGRADED"]) == (source.consistency, codes(source))
    assert "it uses a vGPU" in source.notices[0].message


async def test_a_vm_that_is_off_has_no_memory(scene: Scene) -> None:
    scene.vm.power_state = PowerState.HALTED
    with pytest.raises(FailedPrecondition, match="does not run"):
        await scene.open(Method.MEMORY)
    source = await scene.open(Method.MEMORY, PREFER)
    assert (Consistency.POWERED_OFF, ["MEMORY_DOWNGRADED"]) == (source.consistency, codes(source))


async def test_memory_goes_with_all_disks_only(scene: Scene) -> None:
    rules = DiskRules(exclude=("device:1",))
    with pytest.raises(FailedPrecondition, match="disks are left out"):
        await scene.open(Method.MEMORY, Options(disks=rules))
    source = await scene.open(Method.MEMORY, replace(PREFER, disks=rules))
    assert ["MEMORY_DOWNGRADED", "DISK_EXCLUDED"] == codes(source)


async def test_the_memory_of_a_domain_controller_is_never_taken_unasked(scene: Scene) -> None:
    scene.vm.domain_controller_hint = "it has the tag 'dc'"
    with pytest.raises(FailedPrecondition, match="tag 'dc'"):
        await scene.open(Method.MEMORY)
    assert ["MEMORY_DOWNGRADED"] == codes(await scene.open(Method.MEMORY, PREFER))
    allowed = Options(memory=MemoryWish(domain_controllers=True))
    assert Consistency.MEMORY is (await scene.open(Method.MEMORY, allowed)).consistency


async def test_a_suspended_vm_is_captured_with_its_memory_and_stays_suspended(scene: Scene) -> None:
    scene.pool.suspend(scene.vm)
    source = await scene.open(Method.MEMORY)
    assert Consistency.MEMORY is source.consistency
    await scene.close(source)
    assert PowerState.SUSPENDED is scene.vm.power_state


async def test_a_vm_a_checkpoint_left_suspended_goes_on(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = scene.pool.take_snapshot

    async def toolstack_dies(*args: Any, memory: bool = False) -> Snapshot:
        if memory:
            scene.pool.suspend(scene.vm)
            raise Aborted("The toolstack restarted.", reason="POOL_BUSY")
        return await take(*args)

    monkeypatch.setattr(scene.pool, "take_snapshot", toolstack_dies)
    with pytest.raises(Aborted):
        await scene.open(Method.MEMORY)
    assert scene.untouched


async def test_a_snapshot_without_the_memory_that_was_asked_for_is_not_kept(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = scene.pool.take_snapshot

    async def plain(*args: Any, memory: bool = False) -> Snapshot:
        return await take(*args)

    monkeypatch.setattr(scene.pool, "take_snapshot", plain)
    with pytest.raises(Aborted) as refused:
        await scene.open(Method.MEMORY)
    assert "SNAPSHOT_WITHOUT_MEMORY" == refused.value.reason
    assert scene.untouched


@pytest.mark.parametrize("placement", [NEW, ORIGINAL])
async def test_a_vm_comes_back_suspended_with_its_memory(scene: Scene, placement: Placement) -> None:
    point = await scene.readable(Method.MEMORY)
    await scene.close(point.source)
    target = await _restored(scene, point, placement)
    made = scene.pool.vms[target.vm_id]
    assert PowerState.SUSPENDED is made.power_state
    assert made.image == target.disks[-1].new_disk_id
    assert "" == scene.pool.disks[made.image].target_id
    told = [notice.code for notice in target.notices]
    assert (["MEMORY_OF_THE_ORIGINAL"] if placement is NEW else []) == told


async def test_a_vm_with_its_memory_is_resumed_when_it_is_to_start(scene: Scene) -> None:
    point = await scene.readable(Method.MEMORY)
    target = await _restored(scene, point, replace(NEW, start=True))
    assert PowerState.RUNNING is scene.pool.vms[target.vm_id].power_state
    assert target.disks[-1].new_disk_id not in scene.pool.disks


async def test_memory_that_is_left_out_is_told_of(scene: Scene) -> None:
    point = await scene.readable(Method.MEMORY)
    target = await _restored(scene, point, replace(NEW, memory=RestoredMemory.WITHOUT))
    assert ["MEMORY_NOT_RESTORED"] == [notice.code for notice in target.notices]
    assert 2 == len(target.disks)
    assert PowerState.HALTED is scene.pool.vms[target.vm_id].power_state


async def test_memory_no_host_can_resume_is_refused_before_anything_is_made(scene: Scene) -> None:
    point = await scene.readable(Method.MEMORY)
    scene.pool.cpus = (replace(HOST, vendor="AuthenticAMD"),)
    disks = set(scene.pool.disks)
    assert "MEMORY_NOT_RESUMABLE" == await _refused(scene, point, NEW)
    assert disks == set(scene.pool.disks)
    without = replace(NEW, memory=RestoredMemory.WITHOUT)
    assert PowerState.HALTED is scene.pool.vms[(await _restored(scene, point, without)).vm_id].power_state


async def test_the_memory_of_a_domain_controller_is_put_back_only_if_it_is_said(scene: Scene) -> None:
    scene.vm.domain_controller_hint = "it has the tag 'dc'"
    point = await scene.readable(Method.MEMORY, Options(memory=MemoryWish(domain_controllers=True)))
    assert "MEMORY_OF_DOMAIN_CONTROLLER" == await _refused(scene, point, NEW)
    target = await _restored(scene, point, replace(NEW, memory=RestoredMemory.WITH))
    assert PowerState.SUSPENDED is scene.pool.vms[target.vm_id].power_state


async def test_memory_does_not_go_without_the_key_material_it_holds(scene: Scene) -> None:
    scene.vm.keys = "a virtual TPM"
    point = await scene.readable(Method.MEMORY)
    assert "MEMORY_NEEDS_KEY_MATERIAL" == await _refused(scene, point, NEW)
    target = await _restored(scene, point, replace(NEW, key_material=True))
    assert PowerState.SUSPENDED is scene.pool.vms[target.vm_id].power_state


async def test_memory_cannot_be_given_other_addresses(scene: Scene) -> None:
    point = await scene.readable(Method.MEMORY)
    keep = replace(NEW, keep_mac_addresses=True)
    assert "MEMORY_HAS_OTHER_ADDRESSES" == await _refused(scene, point, keep)


async def test_memory_a_point_does_not_hold_cannot_be_asked_for(scene: Scene) -> None:
    point = await scene.readable(Method.NORMAL)
    assert "NO_MEMORY_IN_POINT" == await _refused(scene, point, replace(NEW, memory=RestoredMemory.WITH))


async def test_a_vm_the_pool_made_without_the_memory_is_not_called_restored(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    imported = scene.pool.import_vm

    async def forgets(*args: Any, **_: Any) -> None:
        await imported(*args)

    monkeypatch.setattr(scene.pool, "import_vm", forgets)
    point = await scene.readable(Method.MEMORY)
    with pytest.raises(DataLoss) as refused:
        await _restored(scene, point, NEW)
    assert "RESTORED_VM_INCOMPLETE" == refused.value.reason


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        (Cpu("GenuineIntel", "00000001-00000008"), ""),
        (Cpu("GenuineIntel", "00000003-0000000f-ffffffff"), ""),
        (Cpu("", ""), ""),
        (Cpu("GenuineIntel", "not words"), ""),
        (Cpu("GenuineIntel", "00000001", hvm=False), ""),
        (Cpu("AuthenticAMD", "00000001"), "AuthenticAMD"),
        (Cpu("GenuineIntel", "00000004"), "lacks features"),
        (Cpu("GenuineIntel", "00000003", hvm=False), "lacks features"),
    ],
)
def test_a_processor_has_to_offer_what_the_vm_uses(wanted: Cpu, why: str) -> None:
    told = cpu_obstacle(wanted, (HOST,))
    assert bool(why) == bool(told)
    assert why in told


def test_one_host_that_can_is_enough_and_none_is_too_few() -> None:
    other = replace(HOST, display_name="host 2", vendor="AuthenticAMD")
    assert "" == cpu_obstacle(Cpu("AuthenticAMD", "00000003"), (HOST, other))
    assert "alive" in cpu_obstacle(Cpu("AuthenticAMD", "00000003"), ())
