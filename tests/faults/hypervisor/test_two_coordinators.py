"""A coordinator that was cut off leads on beside the one that took its place: the wrong one is not used.

The simulated pool is split as one without high availability is: the former coordinator has its own database
from then on. Which one is right is decided by whom most hosts follow; where that does not tell, the pool is
not used.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from xenkeep.hypervisor.v1 import events_pb2, pool_pb2, vm_pb2
from xenkeep.simulator.v1 import simulator_pb2 as sim

from tests.faults.hypervisor.labs import kill, kinds, running_lab, told
from tests.faults.hypervisor.pool_view import gone
from tests.support.hypervisor import PATIENCE_S, Lab
from tests.support.nats import NatsServer
from tests.support.pool import vm

pytestmark = pytest.mark.scenario(20)

CHOSEN = {"XENKEEP_CANVASS_EVERY": "1s", "XENKEEP_POOL_PATIENCE": "1s"}


@pytest.fixture
async def lab(nats_server: NatsServer, tmp_path: Path) -> AsyncIterator[Lab]:
    """Three hosts; ``web`` runs on host2, ``db`` on host1. host0 leads, and we are logged in there."""
    machines = [vm("web", host="host2"), vm("db", host="host1")]
    async with running_lab(nats_server, tmp_path, machines, environment=CHOSEN) as running:
        for name in ("web", "db"):
            await running.vm_with(name, lambda now: now.power_state == vm_pb2.Vm.POWER_STATE_RUNNING)
        yield running


async def _split(lab: Lab, *stay: str) -> float:
    """host2 takes the place of host0, which leads on; all but ``stay`` follow host2."""
    await lab.simulator.SplitPool(sim.SplitPoolRequest(host="host2", stay=stay))
    return time.monotonic()


async def _pool(lab: Lab) -> pool_pb2.Pool:
    return await lab.pools.GetPool(pool_pb2.GetPoolRequest(name=lab.pool_id), timeout=PATIENCE_S)


async def _snapshots(lab: Lab, host: int) -> set[str]:
    """Names of the snapshots that a coordinator knows."""
    found = await lab.session_call("VM.get_all_records_where", 'field "is_a_snapshot"="true"', host=host)
    return {record["name_label"] for record in found.values()}


async def test_the_one_that_most_hosts_follow_is_used_and_the_other_is_told_of_until_it_gives_up(
    lab: Lab,
) -> None:
    source = await lab.open(await lab.vm("web"))
    began = await _split(lab)
    contested = await told(lab, events_pb2.CoordinatorContested, began, PATIENCE_S)
    changed = await told(lab, events_pb2.CoordinatorChanged, began, PATIENCE_S)
    assert "host2" == changed.new_host_display_name
    former, new = (lab.pool.address(host).partition(":")[0] for host in (0, 2))
    assert f"{former} is followed by itself" in contested.message
    assert f"{new} is followed by itself" in contested.message
    shown = await _pool(lab)
    assert ["COORDINATOR_CONTESTED"] == [notice.code for notice in shown.notices]
    assert (pool_pb2.Pool.STATE_ONLINE, changed.new_host_id) == (shown.state, shown.coordinator)

    before = await _snapshots(lab, 0)
    second = await lab.open(await lab.vm("web"))
    assert {f"xenkeep-{source.name[-36:]}", f"xenkeep-{second.name[-36:]}"} == await _snapshots(lab, 2)
    for each in (source, second):
        await lab.close(each.name, committed=False)
    assert set() == await _snapshots(lab, 2)
    assert before == await _snapshots(lab, 0), "nothing was done through the former coordinator"

    await lab.simulator.RestartToolstack(sim.RestartToolstackRequest(host="host0"))
    await lab.event(events_pb2.CoordinatorAgreed)
    assert not (await _pool(lab)).notices
    assert "PoolUnreachable" not in kinds(lab)


async def test_the_former_one_is_kept_while_most_hosts_follow_it_and_a_pool_may_be_added_by_the_other(
    lab: Lab,
) -> None:
    began = await _split(lab, "host1")
    await told(lab, events_pb2.CoordinatorContested, began, PATIENCE_S)
    source = await lab.open(await lab.vm("db"))
    assert {f"xenkeep-{source.name[-36:]}"} == await _snapshots(lab, 0)
    assert set() == await _snapshots(lab, 2)
    await lab.close(source.name, committed=False)
    leader = (await _pool(lab)).coordinator
    assert "CoordinatorChanged" not in kinds(lab)

    await lab.pools.DeletePool(pool_pb2.DeletePoolRequest(name=lab.pool_id), timeout=PATIENCE_S)
    added = await lab.add_pool(host=2)
    while (
        added.coordinator != leader
    ):  # what the host said by which it was added is corrected by the majority
        await asyncio.wait_for(lab.event(events_pb2.CoordinatorChanged), PATIENCE_S)
        added = await _pool(lab)
    assert leader == added.coordinator


async def test_where_nobody_can_tell_nothing_is_done_until_one_of_them_gives_up(lab: Lab) -> None:
    source = await lab.open(await lab.vm("web"))
    [snapshot] = await lab.session_call("VM.get_by_name_label", f"xenkeep-{source.name[-36:]}")
    await kill(lab, "host1")
    began = await _split(lab)
    outage = await told(lab, events_pb2.PoolUnreachable, began, PATIENCE_S)
    assert "More than one host leads" in outage.message
    await lab.event(events_pb2.CoordinatorContested)
    shown = await _pool(lab)
    assert pool_pb2.Pool.STATE_CONTESTED == shown.state
    for asked in (lab.open(await lab.vm("web")), lab.close(source.name, committed=False)):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await asked
        assert grpc.StatusCode.UNAVAILABLE == refused.value.code()
        assert "More than one host leads" in str(refused.value.details())
    await lab.process.kill()
    await lab.restarted()  # the next process has the source to close, and does not sweep
    for host in (0, 2):
        assert {f"xenkeep-{source.name[-36:]}"} == await _snapshots(lab, host)

    await lab.simulator.RestartToolstack(sim.RestartToolstackRequest(host="host0"))
    await lab.event(events_pb2.PoolReachable)
    await lab.event(events_pb2.CoordinatorAgreed)
    await gone(lab, "VM", snapshot, host=2)
