"""Memory goes where its processor's features are: a VM of one pool, restored into another."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from xenkeep.common.v1 import capture_pb2
from xenkeep.hypervisor.v1 import backup_source_pb2, pool_pb2, restore_target_pb2

from services.chassis.rpc.channel import error_from_rpc
from tests.support.hypervisor import PATIENCE_S, Lab
from tests.support.pool import SimulatedPool

pytestmark = pytest.mark.asyncio(loop_scope="module")

Placement = restore_target_pb2.Placement
LESS = "178bfbff-f6f83203-00000000-00000121"
"""What a simulated processor offers, without one word of it."""


@pytest.fixture
def older(tmp_path: Path) -> Iterator[SimulatedPool]:
    """A pool of one host with a processor that lacks features."""
    simulated = SimulatedPool(tmp_path, hosts=1, overrides={"cpu_features": LESS})
    simulated.start()
    yield simulated
    simulated.stop()


async def _prepared(
    lab: Lab, source: backup_source_pb2.BackupSource, pool: str, memory: "Placement.Memory.ValueType"
) -> restore_target_pb2.RestoreTarget:
    disks = [
        restore_target_pb2.DiskToRestore(disk_id=disk.disk_id, size_bytes=disk.size_bytes)
        for disk in source.disks
    ]
    request = restore_target_pb2.PrepareRestoreTargetRequest(
        restore_target_id=str(uuid.uuid4()),
        placement=Placement(pool=pool, vm_display_name="elsewhere", memory=memory),
        vm_configuration=source.vm_configuration,
        disks=disks,
    )
    return await lab.targets.PrepareRestoreTarget(request, timeout=PATIENCE_S)


async def test_memory_that_used_features_a_pool_lacks_is_refused_there_and_its_disks_are_not(
    shared_lab: Lab, older: SimulatedPool
) -> None:
    source = await shared_lab.open(await shared_lab.new_vm(), method=capture_pb2.METHOD_MEMORY)
    await shared_lab.close(source.name, committed=True)
    there = (await shared_lab.add_another(older.address(0))).name
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await _prepared(shared_lab, source, there, Placement.MEMORY_WITH)
    told = error_from_rpc(refused.value)
    assert "MEMORY_NOT_RESUMABLE" == told.reason
    assert "the processor of 'host0' lacks features the VM uses" in str(told)
    without = await _prepared(shared_lab, source, there, Placement.MEMORY_WITHOUT)
    assert len(source.disks) - 1 == len(without.disks)
    here = await _prepared(shared_lab, source, f"pools/{shared_lab.pool_id}", Placement.MEMORY_WITH)
    assert len(source.disks) == len(here.disks)
    for made in (without, here):
        gone = restore_target_pb2.AbortRestoreTargetRequest(name=made.name)
        await shared_lab.targets.AbortRestoreTarget(gone, timeout=PATIENCE_S)
    await shared_lab.pools.DeletePool(pool_pb2.DeletePoolRequest(name=there), timeout=PATIENCE_S)
