"""High availability in the records: its disks, who hears whom, how many hosts may fail."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from services.simulator.pool.description import DiskDescription, StorageDescription, VmDescription
from services.simulator.pool.simulation import Simulation
from tests.integration.simulator.pools import MIB, Sdk, describe, running

GIB = 1024**3


@pytest.fixture
async def simulation(tmp_path: Path) -> AsyncIterator[Simulation]:
    """Three hosts of 32 GiB; a VM that must always run is on the second."""
    disk = DiskDescription(size_bytes=8 * MIB, storage="Shared")
    vm = VmDescription(name="web", host="host-2", disks=[disk], ha_restart_priority="restart")
    storage = [StorageDescription(name="Shared"), StorageDescription(name="Own", type="ext", host="host-1")]
    async with running(describe(tmp_path / "pool", hosts=3, vms=[vm], storage=storage)) as simulation:
        yield simulation


async def about(sdk: Sdk) -> dict[str, Any]:
    (record,) = (await sdk.call("pool.get_all_records")).values()
    return {name.removeprefix("ha_"): value for name, value in record.items() if name.startswith("ha_")}


async def named(sdk: Sdk, cls: str, name: str) -> str:
    (ref,) = await sdk.call(f"{cls}.get_by_name_label", name)
    return str(ref)


async def told(sdk: Sdk) -> list[str]:
    records = (await sdk.call("message.get_all_records")).values()
    return sorted(record["name"] for record in records if record["name"].startswith("HA_POOL"))


async def test_hosts_share_a_disk_that_nobody_takes_from_them(sdk: Sdk) -> None:
    shared = await named(sdk, "SR", "Shared")
    await sdk.call("pool.enable_ha", [shared], {"timeout": "60"})
    state = await about(sdk)
    assert (state["enabled"], state["configuration"]) == (True, {"timeout": "60"})
    (statefile,) = state["statefiles"]
    redo_log = await named(sdk, "VDI", "Metadata for HA")
    disk = await sdk.call("VDI.get_record", statefile)
    assert (disk["type"], disk["SR"], disk["sharable"]) == ("ha_statefile", shared, True)
    assert await sdk.call("VDI.get_type", redo_log) == "redo_log"
    for host in (await sdk.call("host.get_all_records")).values():
        assert host["ha_statefiles"] == [statefile]
        assert len(host["ha_network_peers"]) == 3
        assert host["uuid"] in host["ha_network_peers"]
    for method in ("VDI.destroy", "VDI.forget"):
        assert await sdk.refused(method, redo_log) == ["HA_IS_ENABLED"]
    assert (await sdk.refused("VDI.copy", statefile, shared))[0] == "OPERATION_NOT_ALLOWED"
    assert "destroy" not in disk["allowed_operations"]
    pbds = await sdk.call("SR.get_PBDs", shared)
    assert await sdk.refused("PBD.unplug", pbds[0]) == ["HA_IS_ENABLED"]

    await sdk.call("pool.disable_ha")
    state = await about(sdk)
    assert (state["enabled"], state["plan_exists_for"], state["statefiles"]) == (False, "0", [statefile])
    assert "destroy" in await sdk.call("VDI.get_allowed_operations", statefile)
    await sdk.call("pool.enable_ha", [], {})
    assert (await about(sdk))["statefiles"] == [statefile]
    await sdk.call("pool.disable_ha")
    await sdk.call("VDI.destroy", statefile)
    assert await sdk.refused("pool.disable_ha") == ["HA_NOT_ENABLED"]


async def test_storage_that_not_all_hosts_see_is_refused(sdk: Sdk) -> None:
    own, shared = await named(sdk, "SR", "Own"), await named(sdk, "SR", "Shared")
    assert await sdk.refused("pool.enable_ha", [own], {}) == ["SR_HAS_NO_PBDS", own]
    await sdk.call("SR.assert_can_host_ha_statefile", shared)
    (pbd, *_) = await sdk.call("SR.get_PBDs", shared)
    host = await sdk.call("PBD.get_host", pbd)
    for vm in await sdk.call("host.get_resident_VMs", host):
        if not await sdk.call("VM.get_is_control_domain", vm):
            await sdk.run("VM.hard_shutdown", vm)
    await sdk.call("PBD.unplug", pbd)
    assert await sdk.refused("pool.enable_ha", [], {}) == ["CANNOT_CREATE_STATE_FILE"]
    assert await sdk.refused("pool.enable_ha", [shared], {}) == ["SR_HAS_NO_PBDS", shared]


async def test_a_licence_may_withhold_it(simulation: Simulation, sdk: Sdk) -> None:
    pool = simulation.pool.db.only("pool")
    simulation.pool.db.set("pool", pool.ref, "restrictions", pool["restrictions"] | {"enable_xha": "false"})
    assert await sdk.refused("pool.enable_ha", [], {}) == ["LICENCE_RESTRICTION", "HA"]


async def test_the_plan_follows_what_is_wished_and_what_is_possible(sdk: Sdk) -> None:
    (pool,) = await sdk.call("pool.get_all")
    vm = await named(sdk, "VM", "web")
    await sdk.call("pool.set_ha_host_failures_to_tolerate", pool, "1")
    await sdk.call("pool.enable_ha", [], {})
    state = await about(sdk)
    assert (state["plan_exists_for"], state["overcommitted"]) == ("1", False)
    await sdk.call("pool.set_ha_host_failures_to_tolerate", pool, "2")
    assert (await about(sdk))["plan_exists_for"] == "2"
    refusal = await sdk.refused("pool.set_ha_host_failures_to_tolerate", pool, "3")
    assert refusal == ["HA_OPERATION_WOULD_BREAK_FAILOVER_PLAN"]
    refusal = await sdk.refused("pool.set_ha_host_failures_to_tolerate", pool, "-1")
    assert refusal == ["INVALID_VALUE", "ha_host_failures_to_tolerate", "-1"]
    assert await told(sdk) == []

    await sdk.run("VM.hard_shutdown", vm)
    await sdk.call("VM.set_memory", vm, str(40 * GIB))
    await sdk.call("VM.set_ha_restart_priority", vm, "restart")
    state = await about(sdk)
    possible = await sdk.call("pool.ha_compute_max_host_failures_to_tolerate")
    assert (state["plan_exists_for"], state["overcommitted"]) == (possible, True) == ("1", True)
    assert await sdk.call("pool.ha_failover_plan_exists", "1") is True
    assert await sdk.call("pool.ha_failover_plan_exists", "2") is False
    assert await told(sdk) == ["HA_POOL_DROP_IN_PLAN_EXISTS_FOR", "HA_POOL_OVERCOMMITTED"]
    await sdk.call("VM.set_ha_restart_priority", vm, "")
    state = await about(sdk)
    assert (state["plan_exists_for"], state["overcommitted"]) == ("2", False)
    assert len(await told(sdk)) == 2


async def test_a_vm_bound_to_a_host_breaks_every_plan(sdk: Sdk) -> None:
    vm, own = await named(sdk, "VM", "web"), await named(sdk, "SR", "Own")
    (pool,) = await sdk.call("pool.get_all")
    await sdk.run("VM.hard_shutdown", vm)
    copy = (await sdk.run("VM.copy", vm, "bound", own)).removeprefix("<value>").removesuffix("</value>")
    await sdk.call("VM.set_ha_restart_priority", copy, "restart")
    assert await sdk.call("pool.ha_compute_max_host_failures_to_tolerate") == "0"
    assert (
        await sdk.call("pool.ha_compute_hypothetical_max_host_failures_to_tolerate", {vm: "restart"}) == "2"
    )
    await sdk.call("pool.set_ha_host_failures_to_tolerate", pool, "1")
    assert (await about(sdk))["overcommitted"] is True


async def test_a_host_that_dies_is_not_heard_and_counts_no_more(simulation: Simulation, sdk: Sdk) -> None:
    (pool,) = await sdk.call("pool.get_all")
    await sdk.call("pool.set_ha_host_failures_to_tolerate", pool, "2")
    await sdk.call("pool.enable_ha", [], {})
    dead = simulation.pool.host_named("host-3")
    await simulation.pool.failures.kill(dead)
    state = await about(sdk)
    assert (state["plan_exists_for"], state["overcommitted"]) == ("1", True)
    hosts = await sdk.call("host.get_all_records")
    assert hosts[dead.ref]["ha_statefiles"] == []
    others = [host for ref, host in hosts.items() if ref != dead.ref]
    assert all(dead.uuid not in host["ha_network_peers"] for host in others)
    await simulation.pool.failures.revive(dead)
    state = await about(sdk)
    assert (state["plan_exists_for"], state["overcommitted"]) == ("2", False)
    assert await sdk.call("host.get_ha_statefiles", dead.ref) == state["statefiles"]


def test_a_pool_that_shares_no_storage_is_not_described_as_available(tmp_path: Path) -> None:
    storage = [StorageDescription(name="Own", type="ext", host="host-1")]
    with pytest.raises(ValidationError, match="storage that all hosts share"):
        describe(tmp_path / "pool", storage=storage, ha_enabled=True)
