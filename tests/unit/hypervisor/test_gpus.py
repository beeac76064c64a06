"""Virtual GPUs that a pool cannot give: what is said, and that nothing is made of a VM that needs one."""

import uuid
from dataclasses import replace

import pytest

from services.chassis.errors import FailedPrecondition
from services.hypervisor.adapters.xapi_archive import Archive
from services.hypervisor.adapters.xapi_gpus import without
from services.hypervisor.app.readables import Readable
from services.hypervisor.domain.gpus import GpuFate, GpuGroup, GpuType, SavedGpu, obstacle
from services.hypervisor.domain.target import Mode, Placement, Target, TargetDisk
from services.hypervisor.domain.vm import Method
from tests.support.hypervisor_house import POOL_ID
from tests.unit.hypervisor.scenes import Scene
from tests.unit.hypervisor.test_metadata import RECORDED

HALF = GpuType("nvidia,10de/1eb8,Half", "NVIDIA", "Half")
FULL = GpuType("", "NVIDIA", "Full")
SAVED = SavedGpu("g", "0", "Group of Tesla GPUs", ("10de/1eb8",), HALF)
OFFERED = GpuGroup(("10de/1eb8",), (HALF, FULL), (HALF,))
NEW = Placement(POOL_ID, "", Mode.NEW_VM, "copy", keep_mac_addresses=False, start=False)


def test_what_the_pool_has_comes_back() -> None:
    assert obstacle(SAVED, (OFFERED,), licensed=True) is None
    renamed = replace(SAVED, type=replace(HALF, vendor="", model="Other name"))
    assert obstacle(renamed, (OFFERED,), licensed=True) is None
    older = replace(SAVED, type=replace(HALF, identifier=""))
    assert obstacle(older, (OFFERED,), licensed=True) is None


@pytest.mark.parametrize(
    ("gpu", "licensed", "fate", "why"),
    [
        (
            replace(SAVED, devices=("1002/67df",)),
            True,
            GpuFate.LEFT_OUT,
            "of the device 1002",
        ),
        (replace(SAVED, type=GpuType("x", "NVIDIA", "New")), True, GpuFate.LEFT_OUT, "offers the type"),
        (SAVED, False, GpuFate.LEFT_OUT, "licence"),
        (replace(SAVED, type=FULL), True, GpuFate.NOT_ENABLED, "not enabled"),
    ],
)
def test_each_obstacle_is_a_clause(gpu: SavedGpu, licensed: bool, fate: GpuFate, why: str) -> None:
    found = obstacle(gpu, (OFFERED,), licensed=licensed)
    assert found is not None
    assert (fate, True) == (found.fate, why in found.why)


def test_an_archive_without_gpus_is_left_as_it_is() -> None:
    before = [each.plain() for each in Archive(RECORDED).objects]
    assert before == [each.plain() for each in Archive(without(RECORDED, {"unknown"})).objects]


async def _restored(scene: Scene, point: Readable, placement: Placement) -> Target:
    id = str(uuid.uuid4())
    disks = tuple(TargetDisk(d.disk_id, d.size_bytes, d.display_name) for d in point.source.disks)
    _, endpoints = await scene.inside.targets.prepare(id, placement, point.configuration, disks)
    for endpoint, *_ in endpoints.values():
        scene.pool.tickets[endpoint.url.reveal().partition("?")[2]].written = True
    return await scene.inside.targets.commit(POOL_ID, id)


async def test_a_vm_comes_back_with_the_gpus_its_pool_has_and_the_others_are_told(scene: Scene) -> None:
    scene.vm.gpus, scene.pool.gpu_types = ("Half", "Full"), {"Half"}
    done = await _restored(scene, await scene.readable(Method.NORMAL), NEW)
    assert ("Half",) == scene.pool.vms[done.vm_id].gpus
    [notice] = done.notices
    assert "GPU_LEFT_OUT" == notice.code
    assert "The VM comes back without its virtual GPU 'Full' of 'GPUs'" in notice.message


async def test_a_memory_is_not_put_back_without_its_gpu(scene: Scene) -> None:
    scene.vm.gpus, scene.pool.gpu_types = ("Half",), set()
    point = await scene.readable(Method.MEMORY)
    before = set(scene.pool.disks)
    with pytest.raises(FailedPrecondition) as refused:
        await _restored(scene, point, NEW)
    assert "MEMORY_NEEDS_GPU" == refused.value.reason
    assert before == set(scene.pool.disks)
