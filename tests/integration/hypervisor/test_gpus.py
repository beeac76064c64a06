"""A VM with a virtual GPU is backed up and comes back with it, or is told to come without."""

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from xenkeep.hypervisor.v1 import backup_source_pb2, pool_pb2, restore_target_pb2, vm_pb2

from tests.support.hypervisor import PATIENCE_S, Lab, sdk_call, write_disk
from tests.support.pool import TESLA, SimulatedPool

pytestmark = pytest.mark.asyncio(loop_scope="module")

Placement = restore_target_pb2.Placement


@pytest.fixture(params=[None, [], ["GRID T4-8Q"]], ids=["no GPU", "none of its types", "another type"])
def elsewhere(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SimulatedPool]:
    types = [each for each in TESLA["types"] if each["name"] in (request.param or [])]
    gpus = [] if request.param is None else [TESLA | {"types": types}]
    simulated = SimulatedPool(tmp_path, hosts=1, gpus=gpus)
    simulated.start()
    yield simulated
    simulated.stop()


async def _with_gpu(lab: Lab, group: str = "") -> vm_pb2.Vm:
    vm = await lab.new_vm(running=False)
    ref = await lab.session_call("VM.get_by_uuid", vm.name.rpartition("/")[2])
    types = await lab.session_call("VGPU_type.get_all_records")
    [kind] = [each for each, record in types.items() if record["model_name"] == "GRID T4-2Q"]
    groups = await lab.session_call("GPU_group.get_all_records")
    group = group or next(each for each, record in groups.items() if record["PGPUs"])
    made = await lab.session_call("VGPU.create", ref, group, "0", {"note": "kept"}, kind)
    await lab.session_call("VGPU.set_extra_args", made, "frame_rate_limiter=0")
    return vm


async def _gpus(lab: Lab, vm_name: str) -> list[dict[str, Any]]:
    ref = await lab.session_call("VM.get_by_uuid", vm_name.rpartition("/")[2])
    records = [
        await lab.session_call("VGPU.get_record", each)
        for each in await lab.session_call("VM.get_VGPUs", ref)
    ]
    kept = ("GPU_group", "type", "device", "other_config", "extra_args")
    return [{key: record[key] for key in kept} for record in records]


async def _restored(
    lab: Lab, source: backup_source_pb2.BackupSource, placement: restore_target_pb2.Placement
) -> restore_target_pb2.RestoreTarget:
    disks = [
        restore_target_pb2.DiskToRestore(disk_id=disk.disk_id, size_bytes=disk.size_bytes)
        for disk in source.disks
    ]
    target = await lab.targets.PrepareRestoreTarget(
        restore_target_pb2.PrepareRestoreTargetRequest(
            restore_target_id=str(uuid.uuid4()),
            placement=placement,
            vm_configuration=source.vm_configuration,
            disks=disks,
        ),
        timeout=PATIENCE_S,
    )
    for disk in target.disks:
        await write_disk(disk.endpoint, [(0, b"data" * 1024)])
    request = restore_target_pb2.CommitRestoreTargetRequest(name=target.name)
    return await lab.targets.CommitRestoreTarget(request, timeout=PATIENCE_S)


@pytest.mark.parametrize("mode", [Placement.MODE_ORIGINAL, Placement.MODE_NEW_VM])
async def test_it_comes_back_with_its_gpu_and_starts(
    shared_lab: Lab, mode: "Placement.Mode.ValueType"
) -> None:
    vm = await _with_gpu(shared_lab)
    before = await _gpus(shared_lab, vm.name)
    source = await shared_lab.backed_up(vm)
    placement = Placement(pool=f"pools/{shared_lab.pool_id}", mode=mode, start=True)
    done = await _restored(shared_lab, source, placement)
    assert ([], before) == (list(done.notices), await _gpus(shared_lab, done.vm))
    ref = await shared_lab.session_call("VM.get_by_uuid", done.vm.rpartition("/")[2])
    assert "Running" == await shared_lab.session_call("VM.get_power_state", ref)
    await shared_lab.session_call("VM.hard_shutdown", ref)


async def test_of_two_groups_of_the_same_device_it_comes_back_in_its_own(shared_lab: Lab) -> None:
    pgpus = await shared_lab.session_call("PGPU.get_all")
    other = await shared_lab.session_call("GPU_group.create", "for designers", "", {})
    home = await shared_lab.session_call("PGPU.get_GPU_group", pgpus[0])
    await shared_lab.session_call("PGPU.set_GPU_group", pgpus[0], other)
    vm = await _with_gpu(shared_lab, other)
    before = await _gpus(shared_lab, vm.name)
    source = await shared_lab.backed_up(vm)
    placement = Placement(pool=f"pools/{shared_lab.pool_id}", mode=Placement.MODE_ORIGINAL)
    done = await _restored(shared_lab, source, placement)
    assert ([], before) == (list(done.notices), await _gpus(shared_lab, done.vm))
    assert other == before[0]["GPU_group"]
    await shared_lab.session_call("PGPU.set_GPU_group", pgpus[0], home)


async def test_a_pool_that_cannot_give_it_makes_the_vm_without_and_says_so(
    shared_lab: Lab, elsewhere: SimulatedPool
) -> None:
    source = await shared_lab.backed_up(await _with_gpu(shared_lab))
    there = (await shared_lab.add_another(elsewhere.address(0))).name
    done = await _restored(shared_lab, source, Placement(pool=there, vm_display_name="elsewhere", start=True))
    [notice] = [each for each in done.notices if each.code.startswith("GPU")]
    assert "GPU_LEFT_OUT" == notice.code
    assert "comes back without its virtual GPU 'GRID T4-2Q'" in notice.message
    url = f"https://{elsewhere.address(0)}"
    ref = sdk_call(url, "VM.get_by_uuid", (done.vm.rpartition("/")[2],))
    record = sdk_call(url, "VM.get_record", (ref,))
    assert ([], "Running") == (record["VGPUs"], record["power_state"])
    assert not [
        each
        for each in sdk_call(url, "VGPU_type.get_all_records", ()).values()
        if each["model_name"] == "GRID T4-2Q"
    ]
    await shared_lab.pools.DeletePool(pool_pb2.DeletePoolRequest(name=there), timeout=PATIENCE_S)


async def test_a_type_that_is_not_enabled_is_told_and_kept(shared_lab: Lab) -> None:
    vm = await _with_gpu(shared_lab)
    before = await _gpus(shared_lab, vm.name)
    source = await shared_lab.backed_up(vm)
    pgpus = await shared_lab.session_call("PGPU.get_all")
    kind = before[0]["type"]
    for pgpu in pgpus:
        await shared_lab.session_call("PGPU.remove_enabled_VGPU_types", pgpu, kind)
    placement = Placement(pool=f"pools/{shared_lab.pool_id}", mode=Placement.MODE_ORIGINAL)
    done = await _restored(shared_lab, source, placement)
    for pgpu in pgpus:
        await shared_lab.session_call("PGPU.add_enabled_VGPU_types", pgpu, kind)
    assert ["GPU_NOT_ENABLED"] == [notice.code for notice in done.notices]
    assert before == await _gpus(shared_lab, done.vm)
