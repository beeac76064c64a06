"""Power cuts and split networks: packets vanish, nobody refuses, and no connection is reset.

Silence is noticed when a host's kernel has acknowledged nothing for twelve seconds; ``NOTICED_WITHIN_S`` is
generous because a connection may have been heard of just before, and for machines that are slow.
"""

import asyncio
import ssl
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import grpc
import pytest
from xenkeep.hypervisor.v1 import backup_source_pb2, events_pb2, restore_target_pb2
from xenkeep.simulator.v1 import simulator_pb2 as sim

from tests.faults.hypervisor.labs import cut_power, kinds, running_lab, silence, told
from tests.faults.hypervisor.pool_view import gone
from tests.support.hypervisor import PATIENCE_S, POOL_PATIENCE_S, Lab, write_disk
from tests.support.nats import NatsServer
from tests.support.pool import vm
from tests.support.silence import asked_in_vain, needs_silence
from tests.support.waiting import until

pytestmark = [pytest.mark.scenario(40), needs_silence]

NOTICED_WITHIN_S = 60.0
HOSTS = 4


@pytest.fixture
async def lab(request: pytest.FixtureRequest, nats_server: NatsServer, tmp_path: Path) -> AsyncIterator[Lab]:
    """Four hosts: ``web`` runs on host2, ``db`` on host3; the parameter is whether HA is on. Without it a
    host that its pool does not hear is dead after two seconds."""
    machines = [vm("web", host="host2", ha_restart_priority="restart"), vm("db", host="host3")]
    pool = {"ha_enabled": request.param, "host_assumed_dead_s": 2.0}
    async with running_lab(nats_server, tmp_path, machines, hosts=HOSTS, known="db", pool=pool) as running:
        yield running


with_ha = pytest.mark.parametrize("lab", [True], indirect=True, ids=["HA"])
without_ha = pytest.mark.parametrize("lab", [False], indirect=True, ids=["no HA"])


async def _failed(lab: Lab, host: str) -> None:
    await lab.event(events_pb2.HostFailed, lambda event: event.host_display_name == host)


async def _recovered(lab: Lab, host: str) -> None:
    await lab.event(events_pb2.HostRecovered, lambda event: event.host_display_name == host)


async def _read_of(lab: Lab, source: str) -> list[list[str]]:
    """Addresses a source's disks can be read at now."""
    request = backup_source_pb2.GetBackupSourceRequest(name=source)
    found = await lab.sources.GetBackupSource(request, timeout=PATIENCE_S)
    return [sorted(endpoint.address for endpoint in disk.nbd_endpoints) for disk in found.disks]


def _addresses(lab: Lab, *hosts: int) -> list[str]:
    return sorted(lab.pool.address(host).partition(":")[0] for host in hosts)


@with_ha
async def test_a_coordinator_whose_power_is_cut_is_replaced_and_the_new_one_is_found(lab: Lab) -> None:
    source = await lab.open(await lab.vm("web"))
    began = await cut_power(lab, "host0")
    changed = await told(lab, events_pb2.CoordinatorChanged, began, NOTICED_WITHIN_S)
    assert "host1" == changed.new_host_display_name
    await _failed(lab, "host0")
    assert [_addresses(lab, 1, 2, 3)] == await _read_of(lab, source.name)
    await lab.close(source.name, committed=False)
    assert {} == await lab.session_call("VM.get_all_records_where", 'field "is_a_snapshot"="true"', host=1)
    assert "PoolUnreachable" not in kinds(lab)
    await lab.simulator.ReviveHost(sim.ReviveHostRequest(host="host0"))
    await _recovered(lab, "host0")


@without_ha
async def test_a_split_leaves_us_the_half_without_coordinator_and_one_is_made_there(lab: Lab) -> None:
    source = await lab.open(await lab.vm("web"))
    for host in ("host0", "host1"):
        began = await silence(lab, host, to_its_pool=True)
    await told(lab, events_pb2.PoolUnreachable, began, POOL_PATIENCE_S + NOTICED_WITHIN_S)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await lab.open(await lab.vm("db"))
    assert grpc.StatusCode.UNAVAILABLE == refused.value.code()
    assert "HOST_STILL_BOOTING" in str(refused.value.details())

    await lab.simulator.SeizeCoordinator(sim.SeizeCoordinatorRequest(host="host2"))
    await lab.simulator.RecoverSupporters(sim.RecoverSupportersRequest())
    await lab.event(events_pb2.PoolReachable)
    changed = await lab.event(events_pb2.CoordinatorChanged)
    assert "host2" == changed.new_host_display_name
    for host in ("host0", "host1"):
        await _failed(lab, host)
    assert [_addresses(lab, 2, 3)] == await _read_of(lab, source.name)

    for host in ("host0", "host1"):
        await lab.simulator.HearHost(sim.HearHostRequest(host=host))
    await lab.simulator.RecoverSupporters(sim.RecoverSupportersRequest())
    for host in ("host0", "host1"):
        await _recovered(lab, host)
    assert [_addresses(lab, 0, 1, 2, 3)] == await _read_of(lab, source.name)
    await lab.close(source.name, committed=False)
    assert 1 == len([event for event in lab.events if isinstance(event, events_pb2.PoolUnreachable)])


@without_ha
async def test_a_supporter_whose_power_is_cut_is_told_when_the_pool_knows_and_so_is_its_return(
    lab: Lab,
) -> None:
    source = await lab.open(await lab.vm("db"))
    await cut_power(lab, "host2")
    await _failed(lab, "host2")
    assert [_addresses(lab, 0, 1, 3)] == await _read_of(lab, source.name)
    await lab.simulator.ReviveHost(sim.ReviveHostRequest(host="host2"))
    await _recovered(lab, "host2")
    await lab.close(source.name, committed=False)
    assert "PoolUnreachable" not in kinds(lab)


@without_ha
async def test_a_coordinator_only_we_do_not_hear_is_an_outage_if_it_lasts(lab: Lab) -> None:
    await _waits_out_a_short_silence(lab)
    began = await silence(lab, "host0", to_its_pool=False)
    outage = await told(lab, events_pb2.PoolUnreachable, began, POOL_PATIENCE_S + NOTICED_WITHIN_S)
    assert "HOST_IS_SLAVE" in outage.message
    await lab.simulator.HearHost(sim.HearHostRequest(host="host0"))
    await lab.event(events_pb2.PoolReachable)
    source = await lab.open(await lab.vm("db"))
    await lab.close(source.name, committed=False)
    assert not {"CoordinatorChanged", "HostFailed"} & kinds(lab)


async def _waits_out_a_short_silence(lab: Lab) -> None:
    """Nothing is asked twice."""
    await silence(lab, "host0", to_its_pool=False)
    opening = asyncio.create_task(lab.open(await lab.vm("db")))
    await asked_in_vain(lab.pool.address(0).partition(":")[0], 2)  # far from what is put up with
    assert not opening.done()
    await lab.simulator.HearHost(sim.HearHostRequest(host="host0"))
    source = await opening
    found = await lab.session_call("VM.get_by_name_label", f"xenkeep-{source.name[-36:]}")
    assert 1 == len(found)
    await lab.close(source.name, committed=False)
    assert "PoolUnreachable" not in kinds(lab)


@with_ha
async def test_killed_while_its_coordinator_is_silent_the_next_process_sweeps(lab: Lab) -> None:
    source = await lab.open(await lab.vm("web"))
    [snapshot] = await lab.session_call("VM.get_by_name_label", f"xenkeep-{source.name[-36:]}")
    await lab.process.stop()
    await lab.restarted(crash_at="close:recorded")
    await cut_power(lab, "host0")
    with pytest.raises(grpc.aio.AioRpcError):
        await lab.close(source.name, committed=False)
    await lab.process.died()
    await lab.restarted()
    await gone(lab, "VM", snapshot, host=1)
    changed = await lab.event(events_pb2.CoordinatorChanged)
    assert "host1" == changed.new_host_display_name


@without_ha
@pytest.mark.parametrize("to_its_pool", [False, True], ids=["to us", "to its pool"])
async def test_a_disk_whose_host_fell_silent_while_writing_is_written_through_another(
    lab: Lab, to_its_pool: bool
) -> None:
    source = await lab.backed_up(await lab.vm("db"))
    target = await _prepared(lab, source)
    [disk] = target.disks
    places = [disk.endpoint, *disk.other_endpoints]
    assert HOSTS == len({place.host_id for place in places})
    [old, new] = [place for place in places if _is_at(lab, place, 1) or _is_at(lab, place, 2)]
    name = "host1" if _is_at(lab, old, 1) else "host2"
    async with _begun(lab, old):
        await silence(lab, name, to_its_pool=to_its_pool)
        request = restore_target_pb2.GetRestoreTargetRequest(name=target.name)
        if to_its_pool:  # the pool cannot make it let go of the disk
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await lab.targets.GetRestoreTarget(request, timeout=PATIENCE_S)
            assert grpc.StatusCode.UNAVAILABLE == refused.value.code()
            assert "still attached" in str(refused.value.details())
            await lab.simulator.HearHost(sim.HearHostRequest(host=name))
        again = await lab.targets.GetRestoreTarget(request, timeout=PATIENCE_S)
        [disk] = again.disks
        [place] = [each for each in (disk.endpoint, *disk.other_endpoints) if each.host_id == new.host_id]
        await write_disk(place, [(0, b"data" * 1024)])
        commit = restore_target_pb2.CommitRestoreTargetRequest(name=target.name)
        done = await lab.targets.CommitRestoreTarget(commit, timeout=PATIENCE_S)
    assert restore_target_pb2.RestoreTarget.STATE_COMMITTED == done.state


async def _prepared(lab: Lab, source: backup_source_pb2.BackupSource) -> restore_target_pb2.RestoreTarget:
    [disk] = source.disks
    wanted = restore_target_pb2.DiskToRestore(
        disk_id=disk.disk_id, size_bytes=disk.size_bytes, display_name=disk.display_name
    )
    return await lab.targets.PrepareRestoreTarget(
        restore_target_pb2.PrepareRestoreTargetRequest(
            restore_target_id=str(uuid.uuid4()),
            placement=restore_target_pb2.Placement(pool="Lab", vm_display_name="again"),
            vm_configuration=source.vm_configuration,
            disks=[wanted],
        ),
        timeout=PATIENCE_S,
    )


def _is_at(lab: Lab, place: restore_target_pb2.WriteEndpoint, host: int) -> bool:
    return urlsplit(place.url).hostname == lab.pool.address(host).partition(":")[0]


@asynccontextmanager
async def _begun(lab: Lab, place: restore_target_pb2.WriteEndpoint) -> AsyncIterator[None]:
    """The host has taken the disk and waits for its content."""

    async def attached() -> bool:
        [vdi] = parse_qs(url.query)["vdi"]
        return bool(await lab.session_call("VDI.get_VBDs", vdi))

    context = ssl.create_default_context(cadata=place.certificate_pem)
    context.check_hostname = False
    url = urlsplit(place.url)
    reader, writer = await asyncio.open_connection(url.hostname, url.port, ssl=context)
    head = f"PUT {url.path}?{url.query} HTTP/1.1\r\nHost: {url.netloc}\r\nContent-Length: 4096\r\n\r\n"
    writer.write(head.encode())
    assert (await reader.readline()).split()[1] == b"200"
    await until(attached)
    yield
    writer.transport.abort()
