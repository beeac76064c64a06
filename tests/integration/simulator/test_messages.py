"""What administrators are told of a VM's life, in xapi's words (xapi: ocaml/xapi/message_forwarding.ml)."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.simulator.pool.description import DiskDescription, VmDescription
from services.simulator.pool.simulation import Simulation
from tests.integration.simulator.pools import MIB, Sdk, describe, running


@pytest.fixture
async def simulation(tmp_path: Path) -> AsyncIterator[Simulation]:
    vms = [VmDescription(name="web", host="host-1", disks=[DiskDescription(size_bytes=4 * MIB)])]
    async with running(describe(tmp_path / "pool", 2, vms=vms)) as simulation:
        yield simulation


async def test_each_step_of_a_life_is_told_once_with_its_priority(sdk: Sdk) -> None:
    (vm,) = await sdk.call("VM.get_by_name_label", "web")
    uuid = await sdk.call("VM.get_uuid", vm)
    hosts = {record["name_label"]: ref for ref, record in (await sdk.call("host.get_all_records")).items()}
    names = {name: f"{name} (uuid: {await sdk.call('host.get_uuid', ref)})" for name, ref in hosts.items()}
    token = (await sdk.call("event.from", ["message"], "", 0.0))["token"]
    snapshot = await sdk.call("VM.snapshot", vm, "s")
    await sdk.call("VM.pool_migrate", vm, hosts["host-2"], {})
    await sdk.call("VM.pause", vm)
    await sdk.call("VM.unpause", vm)
    await sdk.call("VM.suspend", vm)
    await sdk.call("VM.resume_on", vm, hosts["host-1"], False, False)
    await sdk.call("VM.clean_reboot", vm)
    await sdk.call("VM.clean_shutdown", vm)
    await sdk.call("VM.start_on", vm, hosts["host-2"], False, False)
    await sdk.call("VM.hard_shutdown", vm)
    await sdk.call("VM.start_on", vm, hosts["host-1"], False, False)
    await sdk.call("VM.hard_reboot", vm)
    await sdk.call("VM.revert", snapshot)
    snapshot_uuid = await sdk.call("VM.get_uuid", snapshot)
    told = (await sdk.call("event.from", ["message"], token, 0.0))["events"]
    records = [event["snapshot"] for event in told]
    assert {(record["cls"], record["obj_uuid"], record["priority"]) for record in records} == {
        ("VM", uuid, "5")
    }
    assert [event["class"] for event in told] == ["message"] * len(told)
    subject = f"VM 'web' (uuid: {uuid})"
    assert [(record["name"], record["body"]) for record in records] == [
        ("VM_SNAPSHOTTED", f"{subject} snapshotted, snapshot name: s"),
        ("VM_MIGRATED", f"{subject} migrated from {names['host-1']} to {names['host-2']}"),
        ("VM_SUSPENDED", f"{subject} suspended"),
        ("VM_RESUMED", f"{subject} resumed on host: {names['host-1']}"),
        ("VM_REBOOTED", f"{subject} rebooted cleanly"),
        ("VM_SHUTDOWN", f"{subject} shutdown"),
        ("VM_STARTED", f"{subject} started on host: {names['host-2']}"),
        ("VM_SHUTDOWN", f"{subject} shutdown forcibly"),
        ("VM_STARTED", f"{subject} started on host: {names['host-1']}"),
        ("VM_REBOOTED", f"{subject} rebooted forcibly"),
        ("VM_SNAPSHOT_REVERTED", f"{subject} reverted to snapshot: s (uuid {snapshot_uuid})"),
    ]
    for record in records:
        assert await sdk.call("message.get_by_uuid", record["uuid"])
