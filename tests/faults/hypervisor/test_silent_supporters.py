"""High availability, and a host that does not lead falls silent: its VMs, and what is read of them.

Nothing has to be noticed by silence, because the coordinator tells: the times are those from the silence to
the event. ``TOLD_WITHIN_S`` is generous for machines that are slow; what was seen is printed.
"""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from xenkeep.common.v1 import capture_pb2
from xenkeep.hypervisor.v1 import backup_source_pb2, events_pb2, vm_pb2
from xenkeep.simulator.v1 import simulator_pb2 as sim

from tests.faults.hypervisor.labs import cut_power, running_lab, silence, told
from tests.support.hypervisor import PATIENCE_S, Lab, bases
from tests.support.nats import NatsServer
from tests.support.pool import MIB, vm
from tests.support.scenarios import THOROUGH
from tests.support.silence import needs_silence

pytestmark = [pytest.mark.scenario(20), needs_silence]

TOLD_WITHIN_S = 30.0
HALTED = vm_pb2.Vm.POWER_STATE_HALTED
STORAGE = [{"name": "Shared storage"}, {"name": "Local on host2", "type": "ext", "host": "host2"}]


@pytest.fixture
async def lab(nats_server: NatsServer, tmp_path: Path) -> AsyncIterator[Lab]:
    """Three hosts with HA; host0 leads; ``web`` (protected) and ``local`` (its disk too) run on host2."""
    disk = {"name": "local disk", "size_bytes": 16 * MIB, "storage": "Local on host2"}
    machines = [
        vm("web", host="host2", ha_restart_priority="restart"),
        vm("local", host="host2", disks=0) | {"disks": [disk]},
    ]
    pool = {"ha_enabled": True, "storage": STORAGE}
    async with running_lab(nats_server, tmp_path, machines, known="local", pool=pool) as running:
        yield running


@pytest.mark.parametrize(
    "power_cut", [False, True] if THOROUGH else [False], ids=lambda cut: f"power cut {cut}"
)
async def test_its_vms_are_followed_and_what_is_read_of_them_goes_on_elsewhere_or_says_why_not(
    lab: Lab, power_cut: bool
) -> None:
    first = bases(await lab.backed_up(await lab.vm("web")))
    web = await lab.open(await lab.vm("web"), first)
    local = await lab.open(await lab.vm("local"))
    began = await (cut_power(lab, "host2") if power_cut else silence(lab, "host2", to_its_pool=True))

    async def soon(kind: Any, wanted: Callable[[Any], bool]) -> Any:
        return await told(lab, kind, began, TOLD_WITHIN_S, wanted)

    failed = await soon(events_pb2.HostFailed, lambda _: True)
    moved = await soon(events_pb2.VmMoved, lambda _: True)
    await soon(
        events_pb2.VmPowerChanged,
        lambda event: (event.vm_display_name, event.new_power_state) == ("local", HALTED),
    )
    await soon(events_pb2.ChangeTrackingLost, lambda event: event.vm_display_name == "web")
    assert ("host2", "web", failed.host_id) == (
        failed.host_display_name,
        moved.vm_display_name,
        moved.old_host_id,
    )

    assert {lab.pool.address(host).partition(":")[0] for host in (0, 1)} == {
        endpoint.address for disk in (await _now(lab, web)).disks for endpoint in disk.nbd_endpoints
    }
    await lab.close(web.name, committed=True)
    for refused in (_now(lab, local), lab.close(local.name, committed=False)):
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await refused
        print(f"its disk is in the silent host: {error.value.details()}")
        assert grpc.StatusCode.UNAVAILABLE == error.value.code()

    again = await lab.open(await lab.vm("web"), bases(web))
    assert {capture_pb2.FULL_REASON_TRACKING_LOST} == {disk.full_reason for disk in again.disks}
    await lab.close(again.name, committed=False)

    await lab.simulator.ReviveHost(sim.ReviveHostRequest(host="host2"))
    await soon(events_pb2.HostRecovered, lambda _: True)
    await lab.close(local.name, committed=False)
    assert {} == await lab.session_call("VM.get_all_records_where", 'field "is_a_snapshot"="true"')
    assert not [event for event in lab.events if isinstance(event, events_pb2.PoolUnreachable)]


async def _now(lab: Lab, source: backup_source_pb2.BackupSource) -> backup_source_pb2.BackupSource:
    request = backup_source_pb2.GetBackupSourceRequest(name=source.name)
    return await lab.sources.GetBackupSource(request, timeout=PATIENCE_S)
