from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from xenkeep.common.v1 import capture_pb2

from tests.support.hypervisor import HypervisorProcess, Lab, bases
from tests.support.nats import NatsServer
from tests.support.pool import SimulatedPool, vm

MIB = 1024 * 1024
READ_ALL = capture_pb2.CaptureOptions(
    reading=capture_pb2.ReadingOptions(without_tracking=capture_pb2.ReadingOptions.WITHOUT_TRACKING_READ_ALL)
)


@pytest.fixture
async def lab(nats_server: NatsServer, tmp_path: Path) -> AsyncIterator[Lab]:
    """A pool whose licence does not include changed block tracking."""
    (tmp_path / "sim").mkdir()
    restricted = {"restrictions": {"restrict_cbt": "true"}}
    pool = SimulatedPool(tmp_path / "sim", hosts=1, vms=[vm("web")], overrides=restricted)
    pool.start()
    async with Lab(pool, HypervisorProcess(nats_server, tmp_path), nats_server).running() as running:
        yield running
    pool.stop()


async def _snapshots(lab: Lab) -> list[str]:
    vdis = await lab.session_call("VDI.get_all_records")
    return [vdi["uuid"] for vdi in vdis.values() if vdi["is_a_snapshot"]]


async def test_without_the_licence_only_what_differs_from_the_kept_snapshot_is_read(lab: Lab) -> None:
    machine = await lab.vm("web")
    first = await lab.backed_up(machine)
    assert ["SNAPSHOT_KEPT"] == [notice.code for notice in first.notices]
    assert [first.disks[0].tracking_ref] == await _snapshots(lab)
    await lab.guest_writes(first.disks[0].disk_id, 5 * MIB, b"new" * 1024)
    second = await lab.open(machine, bases(first))
    [disk] = second.disks
    assert capture_pb2.LEVEL_INCREMENTAL == disk.level
    assert first.disks[0].tracking_ref == disk.base_tracking_ref
    assert (4 * MIB, 2 * MIB) in await lab.extents(second.name, disk.disk_id)
    assert disk.changed_bytes < disk.size_bytes // 4
    await lab.close(second.name, committed=True)
    assert [disk.tracking_ref] == await _snapshots(lab)


async def test_where_no_snapshot_may_stay_everything_is_read_and_nothing_is_left(lab: Lab) -> None:
    machine = await lab.vm("web")
    first = await lab.open(machine, options=READ_ALL)
    await lab.close(first.name, committed=True)
    assert [""] == [disk.tracking_ref for disk in first.disks]
    second = await lab.open(machine, bases(first), options=READ_ALL)
    await lab.close(second.name, committed=True)
    assert [capture_pb2.FULL_REASON_TRACKING_UNLICENSED] == [disk.full_reason for disk in second.disks]
    assert "LICENCE_RESTRICTION" in second.disks[0].full_reason_message
    assert [] == await _snapshots(lab)
