"""Slow links, cut links, and hosts that die while they send."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import httpx
import pytest

from services.simulator.pool.nbd_door import MeteredDisk
from services.simulator.pool.simulation import Simulation
from tests.integration.simulator.pools import MIB, PASSWORD, Sdk
from tests.integration.simulator.test_vm_life import disk_of, only_vm
from tests.support.waiting import PATIENCE_S


@pytest.fixture
async def client(simulation: Simulation) -> AsyncIterator[httpx.AsyncClient]:
    address = f"http://127.0.0.11:{simulation.pool.description.http_port}"
    async with httpx.AsyncClient(base_url=address, auth=("root", PASSWORD), timeout=PATIENCE_S) as client:
        yield client


async def test_a_slow_link_slows_exports_down(
    simulation: Simulation, sdk: Sdk, client: httpx.AsyncClient
) -> None:
    simulation.pool.coordinator.link.limit(16 * MIB)
    started = time.monotonic()
    answer = await client.get("/export_raw_vdi", params={"vdi": await disk_of(sdk, await only_vm(sdk))})
    assert len(answer.content) == 8 * MIB
    assert time.monotonic() - started >= 0.4


async def test_a_slow_link_slows_nbd_reads_down(simulation: Simulation, sdk: Sdk) -> None:
    host = simulation.pool.coordinator
    vdi = simulation.pool.db.row("VDI", await disk_of(sdk, await only_vm(sdk)))
    disk = MeteredDisk(simulation.pool.repositories[vdi["SR"]].disk(vdi["uuid"]), host)
    host.link.limit(10 * MIB)
    started = time.monotonic()
    for piece in range(4):
        await asyncio.to_thread(disk.read_into, piece * MIB, bytearray(MIB))
    assert time.monotonic() - started >= 0.35
    assert host.nbd_sent_bytes == 4 * MIB


async def test_a_link_is_cut_in_the_middle_of_a_body(
    simulation: Simulation, sdk: Sdk, client: httpx.AsyncClient
) -> None:
    disk = await disk_of(sdk, await only_vm(sdk))
    task = await sdk.call("task.create", "export", "")
    simulation.pool.coordinator.link.cut_after(3 * MIB)
    got = 0
    with pytest.raises(httpx.TransportError):
        async with client.stream("GET", "/export_raw_vdi", params={"vdi": disk, "task_id": task}) as answer:
            async for piece in answer.aiter_raw():
                got += len(piece)
    assert got <= 3 * MIB
    assert (await sdk.wait_for_task(task))["status"] == "failure"
    assert len(await sdk.call("VDI.get_VBDs", disk)) == 1


async def test_a_host_that_dies_while_it_sends_releases_the_disk(
    simulation: Simulation, sdk: Sdk, client: httpx.AsyncClient
) -> None:
    disk = await disk_of(sdk, await only_vm(sdk))
    host = simulation.pool.coordinator
    host.link.limit(MIB)
    with pytest.raises(httpx.TransportError):
        async with client.stream("GET", "/export_raw_vdi", params={"vdi": disk}) as answer:
            pieces = answer.aiter_raw()
            await anext(pieces)
            assert len(simulation.pool.db.row("VDI", disk)["VBDs"]) == 2
            await simulation.pool.failures.kill(host)
            async for _ in pieces:
                pass
    assert len(simulation.pool.db.row("VDI", disk)["VBDs"]) == 1
    with contextlib.suppress(OSError):
        await sdk.call("VM.get_all")


@pytest.mark.parametrize("how", ["task.cancel", "closing"])
async def test_a_transfer_is_called_off_by_its_task_or_by_going_away(
    simulation: Simulation, sdk: Sdk, client: httpx.AsyncClient, how: str
) -> None:
    disk = await disk_of(sdk, await only_vm(sdk))
    task = await sdk.call("task.create", "export", "")
    simulation.pool.coordinator.link.limit(MIB)
    got = 0
    with contextlib.suppress(httpx.TransportError):
        async with client.stream("GET", "/export_raw_vdi", params={"vdi": disk, "task_id": task}) as answer:
            pieces = answer.aiter_raw()
            got += len(await anext(pieces))
            if how == "task.cancel":
                await sdk.call("task.cancel", task)
                async for piece in pieces:
                    got += len(piece)
    simulation.pool.coordinator.link.limit(0)
    ended = await sdk.wait_for_task(task)
    assert ended["status"] == ("cancelled" if how == "task.cancel" else "failure")
    assert got < 8 * MIB
    assert len(await sdk.call("VDI.get_VBDs", disk)) == 1
