"""Whatever befalls a pool's hosts, VMs are followed, the pool is found again, and what was missed is told."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
import XenAPI
from xenkeep.hypervisor.v1 import backup_source_pb2, events_pb2, pool_pb2, vm_pb2
from xenkeep.simulator.v1 import simulator_pb2

from tests.faults.hypervisor.labs import kill, kinds, running_lab
from tests.support.hypervisor import PATIENCE_S, Lab
from tests.support.nats import NatsServer
from tests.support.pool import PASSWORD, vm

pytestmark = pytest.mark.scenario(40)

Vm = vm_pb2.Vm
HTTP = simulator_pb2.CutConnectionsRequest.KIND_HTTP


@pytest.fixture
async def lab(request: pytest.FixtureRequest, nats_server: NatsServer, tmp_path: Path) -> AsyncIterator[Lab]:
    """``web`` is protected and runs on host2, ``db`` on host0; the parameter is whether HA is on."""
    machines = [vm("web", host="host2", ha_restart_priority="restart"), vm("db", host="host0")]
    pool = {"ha_enabled": request.param}
    async with running_lab(nats_server, tmp_path, machines, known="web", pool=pool) as running:
        yield running


with_ha = pytest.mark.parametrize("lab", [True], indirect=True, ids=["HA"])
without_ha = pytest.mark.parametrize("lab", [False], indirect=True, ids=["no HA"])


async def _renamed(lab: Lab, name: str, host: int = 0) -> None:
    """A change at the pool is heard of: the watch goes on."""
    [ref] = await lab.session_call("VM.get_by_name_label", "db", host=host)
    await lab.session_call("VM.set_name_description", ref, name, host=host)
    await lab.event(events_pb2.VmChanged, lambda event: event.vm.description == name)


async def _pool(lab: Lab) -> pool_pb2.Pool:
    return await lab.pools.GetPool(pool_pb2.GetPoolRequest(name=lab.pool_id), timeout=PATIENCE_S)


@with_ha
async def test_a_vm_that_is_restarted_elsewhere_is_followed(lab: Lab) -> None:
    await kill(lab, "host2")
    await lab.event(events_pb2.HostFailed, lambda event: event.host_display_name == "host2")
    moved = await lab.event(events_pb2.VmMoved)
    assert ("web", True) == (moved.vm_display_name, moved.old_host_id != moved.new_host_id)
    web = await lab.vm_with("web", lambda now: now.power_state == Vm.POWER_STATE_RUNNING)
    assert moved.new_host_id == web.host_id
    source = await lab.open(web)
    await lab.close(source.name, committed=True)


@without_ha
async def test_a_vm_of_a_dead_host_is_told_as_the_pool_tells_it_and_others_are_backed_up(lab: Lab) -> None:
    web = await lab.vm("web")
    await kill(lab, "host2")
    assert Vm.POWER_STATE_RUNNING == (await lab.vm("web")).power_state
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await lab.open(web)
    assert grpc.StatusCode.UNAVAILABLE == refused.value.code()
    db = await lab.open(await lab.vm("db"))
    assert all(disk.nbd_endpoints for disk in db.disks)
    await lab.close(db.name, committed=False)
    assert not {"HostFailed", "VmPowerChanged", "PoolUnreachable"} & kinds(lab)


@without_ha
async def test_a_coordinator_that_is_lost_for_good_is_replaced_by_hand_and_found_again(lab: Lab) -> None:
    await kill(lab, "host0")
    await lab.event(events_pb2.PoolUnreachable)
    await asyncio.to_thread(_take_over, lab.pool.address(1))
    await lab.event(events_pb2.PoolReachable)
    changed = await lab.event(events_pb2.CoordinatorChanged)
    assert "host1" == changed.new_host_display_name
    await _renamed(lab, "after the transition", host=1)


def _take_over(address: str) -> None:
    """As an administrator does on the console of a supporter that has lost its coordinator."""
    session = XenAPI.Session(f"https://{address}", ignore_ssl=True)
    session.slave_local_login_with_password("root", PASSWORD)
    session.xenapi.pool.emergency_transition_to_master()
    session.xenapi.pool.recover_slaves()
    session("close")()


@with_ha
async def test_an_open_source_goes_on_when_another_host_is_designated(lab: Lab) -> None:
    source = await lab.open(await lab.vm("web"))
    await lab.simulator.DesignateCoordinator(simulator_pb2.DesignateCoordinatorRequest(host="host1"))
    await lab.event(events_pb2.CoordinatorChanged)
    request = backup_source_pb2.GetBackupSourceRequest(name=source.name)
    again = await lab.sources.GetBackupSource(request, timeout=PATIENCE_S)
    assert [3] == [len(disk.nbd_endpoints) for disk in again.disks]
    await lab.close(source.name, committed=True)


@with_ha
async def test_connections_that_are_cut_again_and_again_go_unnoticed(lab: Lab) -> None:
    for number in range(3):
        for host in ("host0", "host1", "host2"):
            await lab.simulator.CutConnections(simulator_pb2.CutConnectionsRequest(host=host, kind=HTTP))
        await _renamed(lab, f"after cut {number}")
    assert "PoolUnreachable" not in kinds(lab)


@with_ha
async def test_sessions_that_expire_go_unnoticed(lab: Lab) -> None:
    source = await lab.open(await lab.vm("web"))
    await lab.simulator.ExpireSessions(simulator_pb2.ExpireSessionsRequest())
    await _renamed(lab, "after the sessions")
    request = backup_source_pb2.GetBackupSourceRequest(name=source.name)
    again = await lab.sources.GetBackupSource(request, timeout=PATIENCE_S)
    old = {endpoint.export_name for endpoint in source.disks[0].nbd_endpoints}
    assert not old & {endpoint.export_name for endpoint in again.disks[0].nbd_endpoints}
    await lab.close(source.name, committed=True)
    assert "PoolUnreachable" not in kinds(lab)


@with_ha
async def test_a_removal_the_pool_has_forgotten_is_noticed_all_the_same(lab: Lab) -> None:
    [db] = await lab.session_call("VM.get_by_name_label", "db")
    doomed = await lab.session_call("VM.clone", (await _halted(lab)), "doomed")
    await lab.event(events_pb2.VmAdded, lambda event: event.vm.display_name == "doomed")
    os.kill(lab.process.pid, signal.SIGSTOP)
    try:
        await lab.session_call("VM.set_name_description", db, "answers the question that was asked")
        await lab.session_call("VM.destroy", doomed)
        request = simulator_pb2.ForgetDeletionsRequest(class_name="VM")
        assert (await lab.simulator.ForgetDeletions(request)).count
    finally:
        os.kill(lab.process.pid, signal.SIGCONT)
    removed = await lab.event(events_pb2.VmRemoved)
    assert "doomed" == removed.vm_display_name


async def _halted(lab: Lab) -> str:
    [ref] = await lab.session_call("VM.get_by_name_label", "db")
    await lab.session_call("VM.hard_shutdown", ref)
    return str(ref)


@with_ha
async def test_a_members_new_certificate_is_learned_from_the_coordinator(lab: Lab) -> None:
    request = simulator_pb2.ReplaceCertificateRequest(host="host1")
    new = (await lab.simulator.ReplaceCertificate(request)).fingerprint.replace(":", "").lower()
    await _renamed(lab, "after the certificate")
    pins = {host.display_name: host.certificate_sha256 for host in (await _pool(lab)).hosts}
    assert new == pins["host1"]
    await lab.simulator.DesignateCoordinator(simulator_pb2.DesignateCoordinatorRequest(host="host1"))
    await lab.event(events_pb2.CoordinatorChanged)
    await _renamed(lab, "through the new certificate", host=1)


@with_ha
async def test_a_coordinators_new_certificate_needs_a_person(lab: Lab) -> None:
    await lab.simulator.ReplaceCertificate(simulator_pb2.ReplaceCertificateRequest(host="host0"))
    told = await lab.event(events_pb2.PoolUnreachable)
    assert "certificate" in told.message
    assert pool_pb2.Pool.STATE_CERTIFICATE_CHANGED == (await _pool(lab)).state
    await lab.add_pool()
    await lab.event(events_pb2.PoolReachable)
    assert pool_pb2.Pool.STATE_ONLINE == (await _pool(lab)).state
    await _renamed(lab, "after a person agreed")
