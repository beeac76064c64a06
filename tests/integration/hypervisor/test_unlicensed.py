from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from xenkeep.common.v1 import capture_pb2

from tests.support.hypervisor import HypervisorProcess, Lab, bases
from tests.support.nats import NatsServer
from tests.support.pool import SimulatedPool, vm

MIB = 1024 * 1024
READ_ALL = capture_pb2.CaptureOptions(
    reading=capture_pb2.ReadingOptions(without_tracking=capture_pb2.ReadingOptions.WITHOUT_TRACKING_READ_ALL)
)


TIB = 1 << 40
UNLICENSED: dict[str, Any] = {"restrictions": {"restrict_cbt": "true"}}
LVM = {"version": "8.0", "storage": [{"name": "Shared storage", "type": "lvm"}]}
LARGE = {"version": "26.17", "vms": [vm("web") | {"disks": [{"name": "large", "size_bytes": 3 * TIB}]}]}


@pytest.fixture
async def lab(request: pytest.FixtureRequest, nats_server: NatsServer, tmp_path: Path) -> AsyncIterator[Lab]:
    """A pool whose licence does not include changed block tracking."""
    (tmp_path / "sim").mkdir()
    overrides = UNLICENSED | getattr(request, "param", {})
    pool = SimulatedPool(tmp_path / "sim", hosts=1, vms=[vm("web")], overrides=overrides)
    pool.start()
    async with Lab(pool, HypervisorProcess(nats_server, tmp_path), nats_server).running() as running:
        yield running
    pool.stop()


async def _snapshots(lab: Lab) -> list[str]:
    vdis = await lab.session_call("VDI.get_all_records")
    return [vdi["uuid"] for vdi in vdis.values() if vdi["is_a_snapshot"]]


@pytest.mark.parametrize("lab", [{}, LVM], indirect=True, ids=["nfs", "lvm of 8.0"])
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


@pytest.mark.parametrize("lab", [LARGE], indirect=True, ids=["qcow2"])
async def test_of_a_qcow2_only_what_was_ever_written_is_read_each_time(lab: Lab) -> None:
    machine = await lab.vm("web")
    disk = machine.disks[0].disk_id
    written = [0, 2 * TIB + 5 * 65536, 3 * TIB - 65536]
    for offset in written[:2]:
        await lab.guest_writes(disk, offset, b"data" * 1024)
    first = await lab.open(machine)
    assert ([True], [capture_pb2.FULL_REASON_FIRST_BACKUP], []) == (
        [each.extents_known for each in first.disks],
        [each.full_reason for each in first.disks],
        list(first.notices),
    )
    assert [(offset, 65536) for offset in written[:2]] == await lab.extents(first.name, disk)
    await lab.close(first.name, committed=True)
    assert [] == await _snapshots(lab)
    await lab.guest_writes(disk, written[2], b"data" * 1024)
    second = await lab.open(machine, bases(first))
    assert [(offset, 65536) for offset in written] == await lab.extents(second.name, disk)
    assert [capture_pb2.FULL_REASON_TRACKING_UNLICENSED] == [each.full_reason for each in second.disks]
    await lab.close(second.name, committed=True)
