"""The process dies while a group is captured, or a VM with its memory."""

import asyncio
import uuid

import grpc
import pytest
from xenkeep.common.v1 import capture_pb2
from xenkeep.hypervisor.v1 import backup_source_pb2, vm_pb2

from tests.faults.hypervisor.pool_view import snapshots
from tests.support.hypervisor import Lab


def _group(vms: list[vm_pb2.Vm]) -> tuple[backup_source_pb2.SourceGroup, list[str]]:
    ids = [str(uuid.uuid4()) for _ in vms]
    members = [
        backup_source_pb2.GroupMember(vm=vm.name, backup_source_id=id)
        for vm, id in zip(vms, ids, strict=True)
    ]
    return backup_source_pb2.SourceGroup(group_id=str(uuid.uuid4()), members=members), ids


@pytest.mark.parametrize("step", ["group:reserved", "group:snapshots", "group:taken"])
async def test_killed_while_a_group_is_taken_it_is_one_moment_in_the_end(lab: Lab, step: str) -> None:
    vms = [await lab.vm("web"), await lab.vm("db")]
    group, ids = _group(vms)
    await lab.process.kill()
    await lab.restarted(crash_at=step)
    with pytest.raises(grpc.aio.AioRpcError):
        await lab.open(vms[0], id=ids[0], group=group)
    await lab.process.died()
    before = set(await snapshots(lab))
    assert (2 if step != "group:reserved" else 0) == len(before)

    await lab.restarted()
    sources = await asyncio.gather(
        *(lab.open(vm, id=id, group=group) for vm, id in zip(vms, ids, strict=True))
    )
    assert {(group.group_id, 2)} == {(each.group.group_id, each.group.vm_count) for each in sources}
    now = set(await snapshots(lab))
    assert 2 == len(now)
    assert (before == now) is (step == "group:taken")
    for source in sources:
        await lab.close(source.name, committed=False)
    assert {} == await snapshots(lab)


async def test_killed_after_a_checkpoint_its_memory_is_read_or_removed(lab: Lab) -> None:
    vm, id = await lab.vm("web"), str(uuid.uuid4())
    await lab.process.kill()
    await lab.restarted(crash_at="open:snapshot")
    with pytest.raises(grpc.aio.AioRpcError):
        await lab.open(vm, id=id, method=capture_pb2.METHOD_MEMORY)
    await lab.process.died()
    await lab.restarted()
    source = await lab.open(vm, id=id, method=capture_pb2.METHOD_MEMORY)
    assert capture_pb2.CONSISTENCY_MEMORY == source.consistency
    await lab.close(source.name, committed=False)
    images = [
        vdi for vdi in (await lab.session_call("VDI.get_all_records")).values() if vdi["type"] == "suspend"
    ]
    assert ([], {}) == (images, await snapshots(lab))
