import asyncio
import uuid

import grpc
import pytest
from xenkeep.common.v1 import capture_pb2
from xenkeep.hypervisor.v1 import backup_source_pb2

from tests.faults.hypervisor.pool_view import disks, gone, snapshots, tracking_data
from tests.support.hypervisor import Lab, bases
from tests.support.waiting import PATIENCE_S

pytestmark = pytest.mark.scenario(1)

OPENING = ("open:snapshot", "open:stored")
CLOSING = ("close:recorded", "close:removed")


async def test_killed_at_any_step_of_opening_the_next_try_goes_on_with_the_same_snapshot(lab: Lab) -> None:
    vm = await lab.vm("web")
    first = await lab.backed_up(vm)
    before = await disks(lab)
    for step in OPENING:
        id = str(uuid.uuid4())
        await lab.process.kill()
        await lab.restarted(crash_at=step)
        with pytest.raises(grpc.aio.AioRpcError):
            await lab.open(vm, bases(first), id=id)
        await lab.process.died()
        await lab.restarted()
        source = await lab.open(vm, bases(first), id=id)
        assert [f"xenkeep-{id}"] == [each["name_label"] for each in (await snapshots(lab)).values()], step
        assert {capture_pb2.LEVEL_INCREMENTAL} == {disk.level for disk in source.disks}, step
        await lab.close(source.name, committed=False)
        assert before.keys() == (await disks(lab)).keys(), step


async def test_killed_at_any_step_of_closing_it_is_finished_by_itself(lab: Lab) -> None:
    vm = await lab.vm("web")
    source = await lab.backed_up(vm)
    for step in CLOSING:
        source = await lab.open(vm, bases(source))
        [snapshot] = await snapshots(lab)
        await lab.process.kill()
        await lab.restarted(crash_at=step)
        with pytest.raises(grpc.aio.AioRpcError):
            await lab.close(source.name, committed=True)
        await lab.process.died()
        await lab.restarted()
        await gone(lab, "VM", snapshot)
        await lab.close(source.name, committed=True)
        assert {disk.tracking_ref for disk in source.disks} == {
            vdi["uuid"] for vdi in (await tracking_data(lab)).values()
        }, step


async def test_a_source_nobody_opened_completely_is_not_read(lab: Lab) -> None:
    vm = await lab.vm("web")
    id = str(uuid.uuid4())
    await lab.process.kill()
    await lab.restarted(crash_at="open:snapshot")
    with pytest.raises(grpc.aio.AioRpcError):
        await lab.open(vm, id=id)
    await lab.process.died()
    await lab.restarted()
    name = f"pools/{lab.pool_id}/backupSources/{id}"
    request = backup_source_pb2.GetBackupSourceRequest(name=name)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await lab.sources.GetBackupSource(request, timeout=PATIENCE_S, wait_for_ready=True)
    assert grpc.StatusCode.FAILED_PRECONDITION == refused.value.code()
    await lab.close(name, committed=False)
    assert {} == await snapshots(lab)


async def test_two_who_open_the_same_at_once_get_the_same(lab: Lab) -> None:
    vm = await lab.vm("web")
    id = str(uuid.uuid4())
    one, other = await asyncio.gather(lab.open(vm, id=id), lab.open(vm, id=id))
    assert one.disks == other.disks
    assert 1 == len(await snapshots(lab))
    await lab.close(one.name, committed=False)
