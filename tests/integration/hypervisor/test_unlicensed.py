from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from xenkeep.common.v1 import capture_pb2

from tests.support.hypervisor import HypervisorProcess, Lab, bases
from tests.support.nats import NatsServer
from tests.support.pool import SimulatedPool, vm


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


async def test_a_pool_without_the_licence_is_backed_up_fully_and_nothing_stays_in_it(lab: Lab) -> None:
    machine = await lab.vm("web")
    first = await lab.backed_up(machine)
    assert [""] == [disk.tracking_ref for disk in first.disks]
    second = await lab.backed_up(machine, bases(first))
    assert [capture_pb2.FULL_REASON_TRACKING_UNLICENSED] == [disk.full_reason for disk in second.disks]
    assert "LICENCE_RESTRICTION" in second.disks[0].full_reason_message
    vdis = await lab.session_call("VDI.get_all_records")
    assert [] == [vdi["uuid"] for vdi in vdis.values() if vdi["is_a_snapshot"]]
