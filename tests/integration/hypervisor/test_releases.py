"""Pools of every release that is supported are watched and backed up."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from xenkeep.common.v1 import capture_pb2
from xenkeep.hypervisor.v1 import events_pb2

from tests.support.hypervisor import HypervisorProcess, Lab, bases
from tests.support.nats import NatsServer
from tests.support.pool import SimulatedPool, vm


@pytest.fixture(params=["8.0", "8.2", "24.19", "26.17"])
async def lab(request: pytest.FixtureRequest, nats_server: NatsServer, tmp_path: Path) -> AsyncIterator[Lab]:
    (tmp_path / "sim").mkdir()
    overrides = {"version": request.param, "storage_reverts": True}
    pool = SimulatedPool(tmp_path / "sim", vms=[vm("web")], overrides=overrides)
    pool.start()
    async with Lab(pool, HypervisorProcess(nats_server, tmp_path), nats_server).running() as running:
        yield running
    pool.stop()


@pytest.mark.parametrize("lab", ["26.17"], indirect=True)
async def test_a_disk_that_went_back_and_stayed_the_same_disk_is_read_whole(lab: Lab) -> None:
    web = await lab.vm("web")
    [ref] = await lab.session_call("VM.get_by_name_label", "web")
    own = await lab.session_call("VM.snapshot", ref, "own")
    full = await lab.backed_up(web)
    await lab.session_call("VM.revert", own)
    disk = await lab.session_call("VDI.get_by_uuid", web.disks[0].disk_id)
    assert await lab.session_call("VDI.get_cbt_enabled", disk) is False
    again = await lab.open(web, bases(full))
    (told,) = again.disks
    assert (capture_pb2.LEVEL_FULL, web.disks[0].disk_id) == (told.level, told.disk_id)
    assert capture_pb2.FULL_REASON_TRACKING_LOST == told.full_reason
    await lab.close(again.name, committed=True)


async def test_a_pool_of_each_release_is_watched_and_backed_up(lab: Lab) -> None:
    web = await lab.vm("web")
    [ref] = await lab.session_call("VM.get_by_name_label", "web")
    await lab.session_call("VM.set_name_description", ref, "changed")
    await lab.event(events_pb2.VmChanged, lambda event: event.vm.description == "changed")
    full = await lab.backed_up(web)
    disk = web.disks[0].disk_id
    await lab.guest_writes(disk, 0, b"new!" * 1024)
    incremental = await lab.open(web, bases(full))
    assert capture_pb2.LEVEL_INCREMENTAL == incremental.disks[0].level
    assert [(0, 65536)] == await lab.extents(incremental.name, disk)
    await lab.close(incremental.name, committed=True)
    assert {} == {
        ref: snapshot
        for ref, snapshot in (await lab.session_call("VM.get_all_records")).items()
        if snapshot["is_a_snapshot"]
    }
