"""Deaths, changes of leadership, restarts: what a client sees of them."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.simulator.pool.description import (
    DiskDescription,
    PoolDescription,
    StorageDescription,
    VmDescription,
)
from services.simulator.pool.simulation import Simulation
from tests.integration.simulator.pools import MIB, Sdk, describe, running
from tests.support.waiting import PATIENCE_S, until


@pytest.fixture
async def three_hosts(tmp_path: Path) -> AsyncIterator[Simulation]:
    """A pool without HA; ``web`` runs on the third host."""
    async with running(describe(tmp_path / "pool", 3, vms=[web_on("host-3")])) as simulation:
        yield simulation


def web_on(host: str, priority: Any = "") -> VmDescription:
    disks = [DiskDescription(size_bytes=8 * MIB)]
    return VmDescription(name="web", host=host, disks=disks, ha_restart_priority=priority)


async def answering(simulation: Simulation, host: int) -> None:
    """Until the host listens: a toolstack that restarts does not for a moment."""

    async def answers() -> bool:
        with contextlib.suppress(ConnectionError):
            port = simulation.pool.description.https_port
            _, writer = await asyncio.open_connection(f"127.0.0.{10 + host}", port)
            writer.close()
            return True
        return False

    await until(answers)


async def logged_in(simulation: Simulation, host: int = 1) -> Sdk:
    await answering(simulation, host)
    return await Sdk(simulation, host).log_in()


async def vm_record(sdk: Sdk) -> dict[str, Any]:
    (vm,) = await sdk.call("VM.get_by_name_label", "web")
    return dict(await sdk.call("VM.get_record", vm))


async def messages(sdk: Sdk) -> list[str]:
    return [record["name"] for record in (await sdk.call("message.get_all_records")).values()]


async def live(sdk: Sdk, host: str) -> bool:
    metrics = await sdk.call("host.get_metrics", host)
    return bool(await sdk.call("host_metrics.get_live", metrics))


async def test_a_supporter_names_the_coordinator_before_it_looks_at_credentials(
    three_hosts: Simulation,
) -> None:
    sdk = Sdk(three_hosts, 2)
    assert await sdk.login_refused("wrong") == [
        "HOST_IS_SLAVE",
        "127.0.0.11",
    ]
    sdk.close()


async def test_without_ha_a_dead_supporter_leaves_its_vms_running_on_paper(three_hosts: Simulation) -> None:
    sdk = await logged_in(three_hosts)
    dead = three_hosts.pool.host_named("host-3")
    await three_hosts.pool.failures.kill(dead)
    record = await vm_record(sdk)
    assert (record["power_state"], record["resident_on"]) == ("Running", dead.ref)
    assert await live(sdk, dead.ref)
    (vm,) = await sdk.call("VM.get_by_name_label", "web")
    assert await sdk.refused("VM.hard_shutdown", vm) == ["CANNOT_CONTACT_HOST", dead.ref]
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.13", three_hosts.pool.description.https_port)
    sdk.close()


async def test_without_ha_a_silent_host_counts_as_dead_after_ten_minutes(tmp_path: Path) -> None:
    """And nothing else happens: its VMs are an administrator's to reset (xapi: db_gc.ml)."""
    assert PoolDescription.model_fields["host_assumed_dead_s"].default == 600
    described = describe(tmp_path / "pool", 3, vms=[web_on("host-3")], host_assumed_dead_s=0.01)
    async with running(described) as simulation:
        sdk = await logged_in(simulation)
        dead = simulation.pool.host_named("host-3")
        (vm,) = await sdk.call("VM.get_by_name_label", "web")
        assert await sdk.refused("VM.power_state_reset", vm) == ["HOST_IS_LIVE", dead.ref]
        await simulation.pool.failures.kill(dead)
        await simulation.pool.settled()
        assert not await live(sdk, dead.ref)
        record = await vm_record(sdk)
        assert (record["power_state"], record["resident_on"]) == ("Running", dead.ref)
        await sdk.call("VM.power_state_reset", vm)
        assert (await vm_record(sdk))["power_state"] == "Halted"
        sdk.close()


async def test_a_declared_dead_host_gives_up_its_vms_and_may_come_back(three_hosts: Simulation) -> None:
    sdk = await logged_in(three_hosts)
    host = three_hosts.pool.host_named("host-3")
    assert await sdk.refused("host.declare_dead", host.ref) == ["HOST_IS_LIVE", host.ref]
    await three_hosts.pool.failures.kill(host)
    await sdk.call("host.declare_dead", host.ref)
    assert (await vm_record(sdk))["power_state"] == "Halted"
    assert not await live(sdk, host.ref)
    await three_hosts.pool.failures.revive(host)
    assert await live(sdk, host.ref)
    (vm,) = await sdk.call("VM.get_by_name_label", "web")
    await sdk.run("VM.start_on", vm, host.ref, False, False)
    sdk.close()


async def test_with_ha_protected_vms_start_elsewhere(tmp_path: Path) -> None:
    description = describe(tmp_path / "p", 3, vms=[web_on("host-3", "restart")], ha_enabled=True)
    async with running(description) as simulation:
        sdk = await logged_in(simulation)
        token = (await sdk.call("event.from", ["vm", "host_metrics", "message"], "", 1.0))["token"]
        dead = simulation.pool.host_named("host-3")
        await simulation.pool.failures.kill(dead)
        batch = await sdk.call("event.from", ["vm", "host_metrics", "message"], token, 5.0)
        assert {"host_metrics", "message", "vm"} <= {event["class"] for event in batch["events"]}
        record = await vm_record(sdk)
        assert record["power_state"] == "Running"
        assert record["resident_on"] != dead.ref
        assert not await live(sdk, dead.ref)
        assert set(await messages(sdk)) == {"HA_HOST_FAILED", "VM_STARTED"}
        sdk.close()


async def test_with_ha_vms_restart_in_their_order_and_failures_are_told(tmp_path: Path) -> None:
    def vm(name: str, priority: Any, storage: str = "Shared") -> VmDescription:
        disks = [DiskDescription(size_bytes=2 * MIB, storage=storage)]
        return VmDescription(name=name, host="host-2", disks=disks, ha_restart_priority=priority)

    vms = [vm("any", "best-effort"), vm("late", "restart"), vm("early", "restart"), vm("left", "")]
    vms += [vm("bound", "restart", "Local"), vm("loose", "best-effort", "Local")]
    storage = [StorageDescription(name="Shared"), StorageDescription(name="Local", type="ext", host="host-2")]
    description = describe(tmp_path / "p", 2, vms=vms, storage=storage, ha_enabled=True)
    async with running(description) as simulation:
        sdk = await logged_in(simulation)
        refs = {each.name: (await sdk.call("VM.get_by_name_label", each.name))[0] for each in vms}
        await sdk.call("VM.set_order", refs["late"], "2")
        await sdk.call("VM.set_order", refs["early"], "1")
        dead = simulation.pool.host_named("host-2")
        await simulation.pool.failures.kill(dead)
        states = {name: await sdk.call("VM.get_power_state", ref) for name, ref in refs.items()}
        up = {name for name, state in states.items() if state == "Running"}
        assert (up, set(states.values())) == ({"any", "late", "early"}, {"Running", "Halted"})
        domains = {name: int(await sdk.call("VM.get_domid", refs[name])) for name in up}
        assert sorted(domains, key=domains.__getitem__) == ["early", "late", "any"]
        await simulation.pool.failures.revive(dead)
        told = (await sdk.call("message.get_all_records")).values()
        about = {(each["name"], each["priority"], each["cls"]) for each in told if "HA_" in each["name"]}
        assert about == {
            ("HA_POOL_OVERCOMMITTED", "3", "Pool"),
            ("HA_HOST_FAILED", "3", "Host"),
            ("HA_PROTECTED_VM_RESTART_FAILED", "2", "VM"),
            ("HA_HOST_WAS_FENCED", "4", "Host"),
        }
        assert sum(each["name"] == "HA_PROTECTED_VM_RESTART_FAILED" for each in told) == 1
        sdk.close()


async def test_with_ha_a_new_coordinator_is_elected_and_sessions_are_gone(tmp_path: Path) -> None:
    description = describe(tmp_path / "p", 3, vms=[web_on("host-3")], ha_enabled=True)
    async with running(description) as simulation:
        sdk = await logged_in(simulation)
        task = await sdk.call("task.create", "doomed", "")
        await simulation.pool.failures.kill(simulation.pool.coordinator)
        with pytest.raises(OSError):
            await sdk.call("VM.get_all")
        sdk.close()
        again = await logged_in(simulation, 2)
        assert await again.refused("task.get_record", task) == ["HANDLE_INVALID", "task", task]
        assert set(await messages(again)) == {"POOL_MASTER_TRANSITION", "HA_HOST_FAILED"}
        assert (await vm_record(again))["power_state"] == "Running"
        again.close()


async def test_without_ha_supporters_of_a_dead_coordinator_answer_only_emergencies(
    three_hosts: Simulation,
) -> None:
    await three_hosts.pool.failures.kill(three_hosts.pool.coordinator)
    sdk = Sdk(three_hosts, 2)
    assert await sdk.login_refused() == ["HOST_STILL_BOOTING"]
    for marker in ({}, {"jsonrpc": "2.0"}):  # both are answered in the form of 1.0
        question = marker | {"method": "pool.get_all", "params": ["OpaqueRef:any"], "id": 7}
        async with httpx.AsyncClient(verify=ssl._create_unverified_context()) as client:
            address = f"https://127.0.0.12:{three_hosts.pool.description.https_port}/jsonrpc"
            answer = (await client.post(address, json=question)).json()
        assert answer == {"result": None, "error": ["HOST_STILL_BOOTING"], "id": 0}
    local = await asyncio.to_thread(
        unwrapped, sdk, "session.slave_local_login_with_password", "root", "xenroot"
    )
    await asyncio.to_thread(unwrapped, sdk, "pool.emergency_transition_to_master", local["Value"])
    sdk.close()
    new = await logged_in(three_hosts, 2)
    assert await new.call("pool.recover_slaves") == [three_hosts.pool.host_named("host-3").ref]
    third = Sdk(three_hosts, 3)
    assert await third.login_refused() == [
        "HOST_IS_SLAVE",
        "127.0.0.12",
    ]
    third.close()
    new.close()


async def test_a_designated_coordinator_takes_over(three_hosts: Simulation) -> None:
    sdk = await logged_in(three_hosts)
    heir = three_hosts.pool.host_named("host-2")
    await sdk.call("pool.designate_new_master", heir.ref)
    with contextlib.suppress(OSError):  # its connection breaks whenever the toolstack restarts
        while await sdk.call("pool.get_all"):
            pass
    sdk.close()
    await three_hosts.pool.settled()
    new = await logged_in(three_hosts, 2)
    (pool,) = await new.call("pool.get_all")
    assert await new.call("pool.get_master", pool) == heir.ref
    old = Sdk(three_hosts, 1)
    assert await old.login_refused() == [
        "HOST_IS_SLAVE",
        "127.0.0.12",
    ]
    old.close()
    new.close()


async def test_a_toolstack_restart_loses_sessions_and_tasks(three_hosts: Simulation) -> None:
    sdk = await logged_in(three_hosts)
    task = await sdk.call("task.create", "doomed", "")
    handle = sdk.session.handle
    await three_hosts.pool.failures.restart_toolstack(three_hosts.pool.coordinator)
    sdk.close()
    fresh = Sdk(three_hosts)
    answer = await asyncio.to_thread(unwrapped, fresh, "VM.get_all", handle)
    assert answer["ErrorDescription"] == ["SESSION_INVALID", handle]
    await fresh.log_in()
    assert await fresh.refused("task.get_record", task) == ["HANDLE_INVALID", "task", task]
    fresh.close()


def unwrapped(sdk: Sdk, method: str, *params: str) -> dict[str, Any]:
    """The answer as it came, to exactly these parameters."""
    return dict(getattr(sdk.session, method)(*params))


async def test_a_crash_of_a_host_loses_changed_block_tracking_at_the_next_start(
    three_hosts: Simulation,
) -> None:
    sdk = await logged_in(three_hosts)
    (vm,) = await sdk.call("VM.get_by_name_label", "web")
    vbds = [await sdk.call("VBD.get_record", vbd) for vbd in await sdk.call("VM.get_VBDs", vm)]
    (disk,) = [vbd["VDI"] for vbd in vbds if vbd["type"] == "Disk"]
    await sdk.run("VDI.enable_cbt", disk)
    host = three_hosts.pool.host_named("host-3")
    await three_hosts.pool.failures.kill(host)
    await three_hosts.pool.failures.revive(host)
    assert await sdk.call("VDI.get_cbt_enabled", disk)
    await sdk.run("VM.start", vm, False, False)
    assert not await sdk.call("VDI.get_cbt_enabled", disk)
    assert "VDI_CBT_METADATA_INCONSISTENT" in await messages(sdk)
    sdk.close()


@pytest.mark.parametrize("insists", [False, True])
async def test_whoever_has_just_come_to_a_host_that_dies_is_cut_off_too(
    three_hosts: Simulation, insists: bool
) -> None:
    """Before a word of TLS was said the server knows nothing of the connection."""
    pool = three_hosts.pool
    dying = pool.host_named("host-2")
    await dying.insist_on_https(insists)
    reader, writer = await asyncio.open_connection("127.0.0.12", pool.description.https_port)
    await answering(three_hosts, 2)  # somebody who came later was let in, so this one was
    await pool.failures.kill(dying)
    with contextlib.suppress(ConnectionError):
        assert b"" == await asyncio.wait_for(reader.read(), PATIENCE_S)
    writer.close()
