"""A pool of the last release that freezes guests for a snapshot: it is asked to, and the point says so."""

from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from xenkeep.common.v1 import capture_pb2

from services.chassis.rpc.channel import error_from_rpc
from tests.support.hypervisor import HypervisorProcess, Lab
from tests.support.nats import NatsServer
from tests.support.pool import SimulatedPool, vm

QUIESCED = capture_pb2.METHOD_QUIESCED
PREFER = capture_pb2.CaptureOptions(
    quiesce=capture_pb2.QuiesceOptions(requirement=capture_pb2.QuiesceOptions.REQUIREMENT_PREFER)
)


@pytest.fixture
async def lab(nats_server: NatsServer, tmp_path: Path) -> AsyncIterator[Lab]:
    """Of release 8.0: the tools in ``web`` can freeze it, those in ``plain`` cannot."""
    (tmp_path / "sim").mkdir()
    vms = [vm("web", vss=True, os_name="Windows Server 2016 Standard"), vm("plain")]
    pool = SimulatedPool(tmp_path / "sim", hosts=1, vms=vms, overrides={"version": "8.0"})
    pool.start()
    async with Lab(pool, HypervisorProcess(nats_server, tmp_path), nats_server).running() as running:
        yield running
    pool.stop()


async def test_the_pool_freezes_a_guest_that_can_be_and_no_other(lab: Lab) -> None:
    web = await lab.vm("web")
    assert QUIESCED in web.methods
    source = await lab.open(web, method=QUIESCED)
    assert (capture_pb2.CONSISTENCY_APPLICATION, []) == (source.consistency, list(source.notices))
    [snapshot] = await lab.session_call("VM.get_by_name_label", f"xenkeep-{source.name.rpartition('/')[2]}")
    info = await lab.session_call("VM.get_snapshot_info", snapshot)
    assert "quiesced" == info["disk-snapshot-type"]
    await lab.close(source.name, committed=True)

    plain = await lab.vm("plain")
    assert QUIESCED not in plain.methods
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await lab.open(plain, method=QUIESCED)
    assert "QUIESCE_IMPOSSIBLE" == error_from_rpc(refused.value).reason
    source = await lab.open(plain, method=QUIESCED, options=PREFER)
    assert ["QUIESCE_DOWNGRADED"] == [notice.code for notice in source.notices]
    assert capture_pb2.CONSISTENCY_CRASH == source.consistency
    await lab.close(source.name, committed=False)
