import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from xenkeep.hypervisor.v1 import backup_source_pb2, events_pb2, restore_target_pb2
from xenkeep.simulator.v1 import simulator_pb2

from tests.faults.hypervisor.labs import kill, running_lab
from tests.support.hypervisor import PATIENCE_S, Lab, write_disk
from tests.support.nats import NatsServer
from tests.support.pool import vm

pytestmark = pytest.mark.scenario(40)


@pytest.fixture
async def lab(nats_server: NatsServer, tmp_path: Path) -> AsyncIterator[Lab]:
    """A pool with high availability; ``web`` runs on the last host."""
    machines = [vm("web", host="host2", disks=2), vm("db", host="host0")]
    async with running_lab(nats_server, tmp_path, machines, pool={"ha_enabled": True}) as running:
        yield running


async def _insist(lab: Lab, id: str) -> backup_source_pb2.BackupSource:
    """Opens with the same id until it works, as a mover does."""
    web = await lab.vm("web")
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                return await lab.open(web, id=id)
            except grpc.aio.AioRpcError as error:
                assert error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.ABORTED)


async def test_the_coordinator_dies_while_a_source_is_opened(lab: Lab) -> None:
    id = str(uuid.uuid4())
    opening = asyncio.ensure_future(_insist(lab, id))
    await kill(lab, "host0")
    source = await opening
    hosts = {endpoint.address for disk in source.disks for endpoint in disk.nbd_endpoints}
    assert lab.pool.address(0).partition(":")[0] not in hosts
    found = await lab.session_call("VM.get_by_name_label", f"xenkeep-{id}", host=1)
    assert 1 == len(found)
    await lab.close(source.name, committed=True)


async def test_the_coordinator_dies_and_an_open_source_is_read_elsewhere(lab: Lab) -> None:
    source = await lab.open(await lab.vm("web"))
    assert [3, 3] == [len(disk.nbd_endpoints) for disk in source.disks]
    await kill(lab, "host0")
    await lab.event(events_pb2.HostFailed, lambda event: event.host_display_name == "host0")
    request = backup_source_pb2.GetBackupSourceRequest(name=source.name)
    again = await lab.sources.GetBackupSource(request, timeout=PATIENCE_S)
    assert [2, 2] == [len(disk.nbd_endpoints) for disk in again.disks]
    before = {endpoint.export_name for disk in source.disks for endpoint in disk.nbd_endpoints}
    after = {endpoint.export_name for disk in again.disks for endpoint in disk.nbd_endpoints}
    assert not before & after
    await lab.close(source.name, committed=True)
    kinds = {type(event).__name__ for event in lab.events}
    assert "PoolUnreachable" not in kinds


async def test_a_supporter_dies_and_comes_back(lab: Lab) -> None:
    await kill(lab, "host2")
    await lab.event(events_pb2.HostFailed, lambda event: event.host_display_name == "host2")
    await lab.simulator.ReviveHost(simulator_pb2.ReviveHostRequest(host="host2"))
    await lab.event(events_pb2.HostRecovered, lambda event: event.host_display_name == "host2")


async def test_writing_that_the_pool_forgot_is_done_again(lab: Lab) -> None:
    web = await lab.vm("web")
    source = await lab.backed_up(web)
    disks = [
        restore_target_pb2.DiskToRestore(
            disk_id=disk.disk_id, size_bytes=disk.size_bytes, display_name=disk.display_name
        )
        for disk in source.disks
    ]
    target = await lab.targets.PrepareRestoreTarget(
        restore_target_pb2.PrepareRestoreTargetRequest(
            restore_target_id=str(uuid.uuid4()),
            placement=restore_target_pb2.Placement(pool="Lab", vm_display_name="again"),
            vm_configuration=source.vm_configuration,
            disks=disks,
        ),
        timeout=PATIENCE_S,
    )
    for disk in target.disks:
        await write_disk(disk.endpoint, [(0, b"lost" * 1024)])
    await lab.simulator.RestartToolstack(simulator_pb2.RestartToolstackRequest(host="host0"))
    commit = restore_target_pb2.CommitRestoreTargetRequest(name=target.name)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await lab.targets.CommitRestoreTarget(commit, timeout=PATIENCE_S)
    assert grpc.StatusCode.ABORTED == refused.value.code()
    request = restore_target_pb2.GetRestoreTargetRequest(name=target.name)
    again = await lab.targets.GetRestoreTarget(request, timeout=PATIENCE_S)
    for disk in again.disks:
        await write_disk(disk.endpoint, [(0, b"kept" * 1024)])
    done = await lab.targets.CommitRestoreTarget(commit, timeout=PATIENCE_S)
    assert restore_target_pb2.RestoreTarget.STATE_COMMITTED == done.state
