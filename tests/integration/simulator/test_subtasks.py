"""What a client sees of a call's parts, and what becomes of them when it is cancelled."""

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from services.simulator.pool.description import DiskDescription, VmDescription
from services.simulator.pool.simulation import Simulation
from services.simulator.storage.ports import Node
from tests.integration.simulator.pools import MIB, Sdk, describe, running
from tests.integration.simulator.test_vm_life import disk_of, only_vm


@pytest.fixture
async def simulation(tmp_path: Path) -> AsyncIterator[Simulation]:
    """A halted VM whose disk is full of data."""
    vm = VmDescription(name="web", disks=[DiskDescription(size_bytes=8 * MIB)])
    async with running(describe(tmp_path / "pool", vms=[vm])) as simulation:
        row = next(row for row in simulation.pool.db.rows("VDI") if row["name_label"] == "web disk 0")
        disk = simulation.pool.repositories[row["SR"]].disk(row["uuid"])
        for place in range(0, 8 * MIB, MIB):
            await asyncio.to_thread(disk.write, place, b"d" * MIB)
        yield simulation


async def test_every_disk_of_a_snapshot_has_a_subtask_while_it_is_made(
    sdk: Sdk, simulation: Simulation
) -> None:
    seen: dict[str, set[str]] = {}

    def listen(change: object) -> None:
        for row in simulation.pool.db.rows("task"):
            seen.setdefault(row["name_label"], set()).update(row["subtasks"])

    forget = simulation.pool.db.listen(listen)
    await sdk.run("VM.snapshot", await only_vm(sdk), "snap")
    forget()
    assert len(seen["Async.VM.snapshot"]) == 1
    assert "Async.VDI.snapshot" in seen
    assert await sdk.call("task.get_by_name_label", "Async.VDI.snapshot") == []


async def test_a_copy_that_is_cancelled_fails_and_leaves_no_disk(
    sdk: Sdk, simulation: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    vm = await only_vm(sdk)
    repository = simulation.pool.repositories[await sdk.call("VDI.get_SR", await disk_of(sdk, vm))]
    copying, cancelled, copy = threading.Event(), threading.Event(), repository.copy

    def held(*args: Any) -> Node:
        copying.set()
        assert cancelled.wait(60)
        return copy(*args)

    monkeypatch.setattr(repository, "copy", held)
    disks = set(await sdk.call("VDI.get_all"))
    task = await sdk.call("Async.VM.copy", vm, "copy", "OpaqueRef:NULL")
    assert await asyncio.to_thread(copying.wait, 60)
    part = (await sdk.call("task.get_record", task))["subtasks"]
    await sdk.call("task.cancel", task)
    cancelled.set()
    record = await sdk.wait_for_task(task)
    assert record["status"] == "failure"
    assert record["error_info"][0] == "VDI_COPY_FAILED"
    assert record["error_info"][1].startswith("Server_error(TASK_CANCELLED")
    assert [await sdk.call("task.get_status", ref) for ref in part] == ["failure"]
    assert set(await sdk.call("VDI.get_all")) == disks
    assert await sdk.call("VM.get_by_name_label", "copy") == []
    assert await sdk.call("VM.get_current_operations", vm) == {}
    assert await sdk.call("VDI.get_current_operations", await disk_of(sdk, vm)) == {}
