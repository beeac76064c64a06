"""Hosts fall silent while a disk is read or written: others do it, soon, and notices say why."""

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from services.chassis.errors import FailedPrecondition, NotFound, Unavailable
from services.mover.adapters.http_disk_target import HttpDiskTarget
from services.mover.adapters.http_opener import HttpTargetOptions
from services.mover.adapters.http_put import HttpTimeouts
from services.mover.adapters.nbd_endpoint import NbdEndpoint
from services.mover.adapters.nbd_handshake import NbdTimeouts
from services.mover.adapters.nbd_pool import NbdPool
from services.mover.adapters.nbd_supply import NbdPoolOptions
from services.mover.adapters.write_endpoint import WriteEndpoint
from services.mover.domain import BlockRead, Extent
from services.simulator.pool.description import DiskDescription, VmDescription
from services.simulator.pool.host import Host
from services.simulator.pool.simulation import Simulation
from tests.integration.simulator.pools import MIB, Sdk, describe, running
from tests.integration.simulator.test_vm_life import disk_of, only_vm
from tests.support.silence import asked_in_vain, needs_silence

pytestmark = [pytest.mark.scenario(40), needs_silence]

SIZE = 32 * MIB
CONTENT = random.Random(23).randbytes(SIZE)
STEP = 64 * 1024
SILENCE_S = 2
READING = NbdPoolOptions(
    patience=60,
    first_pause=5,
    connections=1,
    timeouts=NbdTimeouts(connect=1, silence=SILENCE_S),
)
WRITING = HttpTargetOptions(timeouts=HttpTimeouts(connect=1, silence=SILENCE_S))


@dataclass
class Disk:
    """Of a VM that is off, in a pool of two hosts, which both see it."""

    simulation: Simulation
    sdk: Sdk
    ref: str
    uuid: str

    def content(self) -> bytes:
        row = self.simulation.pool.db.row("VDI", self.ref)
        found = bytearray(SIZE)
        self.simulation.pool.repositories[row["SR"]].disk(self.uuid).read_into(0, found)
        return bytes(found)

    async def readers(self) -> list[NbdEndpoint]:
        return [
            NbdEndpoint(
                host_id=each["address"],
                address=each["address"],
                port=int(each["port"]),
                export_name=each["exportname"],
                certificate_pem=each["cert"],
                server_name=each["subject"],
            )
            for each in await self.sdk.call("VDI.get_nbd_info", self.ref)
        ]

    async def writers(self) -> tuple[str, list[WriteEndpoint]]:
        """The task of the writing, and where."""
        task = await self.sdk.call("task.create", "a disk is written", "")
        port, session = self.simulation.pool.description.https_port, self.sdk.session.handle
        query = f"vdi={self.ref}&session_id={session}&task_id={task}&format=raw&chunked=true"
        hosts = self.simulation.pool.hosts.values()
        return task, [
            WriteEndpoint(
                host.uuid, f"https://{host.address}:{port}/import_raw_vdi?{query}", host.certificate.pem
            )
            for host in hosts
        ]

    async def silence(self, host: Host) -> None:
        await self.simulation.pool.failures.fall_silent(host, to_its_pool=False)


@pytest.fixture
async def disk(tmp_path: Path) -> AsyncIterator[Disk]:
    vms = [VmDescription(name="web", disks=[DiskDescription(size_bytes=SIZE)])]
    async with running(describe(tmp_path / "pool", 2, vms=vms)) as simulation:
        sdk = await Sdk(simulation).log_in()
        ref = await disk_of(sdk, await only_vm(sdk))
        row = simulation.pool.db.row("VDI", ref)
        simulation.pool.repositories[row["SR"]].disk(row["uuid"]).write(0, CONTENT)
        yield Disk(simulation, sdk, ref, row["uuid"])
        sdk.close()


def codes(pool: NbdPool | HttpDiskTarget) -> set[str]:
    return {notice.code for notice in pool.notices()}


def reads() -> list[BlockRead]:
    return [BlockRead(at, memoryview(bytearray(STEP))) for at in range(0, SIZE, STEP)]


async def test_what_a_silent_host_was_asked_for_is_read_through_another(disk: Disk) -> None:
    endpoints = await disk.readers()
    pool = NbdPool(SIZE, endpoints, lambda: endpoints, READING)
    wanted = reads()
    reading = pool.read_many(wanted)
    await asyncio.to_thread(next, reading)
    [serving] = [host for host in disk.simulation.pool.hosts.values() if host.nbd_connections]
    await disk.silence(serving)
    await asyncio.to_thread(list, reading)
    assert CONTENT == b"".join(read.buffer for read in wanted)
    [notice] = [each for each in pool.notices() if each.code == "NBD_HOST_SILENT"]
    assert serving.address in notice.text
    assert 1 == notice.count
    pool.close()


async def test_a_host_that_is_silent_from_the_start_is_left_alone_soon(disk: Disk) -> None:
    endpoints = await disk.readers()
    silent = next(iter(disk.simulation.pool.hosts.values()))
    await disk.silence(silent)
    endpoints.sort(key=lambda each: each.address != silent.address)
    pool = NbdPool(SIZE, endpoints, lambda: endpoints, READING)
    wanted = reads()
    await asyncio.to_thread(list, pool.read_many(wanted))
    assert CONTENT == b"".join(read.buffer for read in wanted)
    assert {"NBD_HOST_SILENT"} == codes(pool)
    pool.close()


async def test_a_host_that_is_heard_again_in_time_goes_on_with_what_it_was_asked_for(disk: Disk) -> None:
    endpoints = (await disk.readers())[:1]
    [host] = [each for each in disk.simulation.pool.hosts.values() if each.address == endpoints[0].address]
    pool = NbdPool(SIZE, endpoints, lambda: endpoints)
    wanted = reads()
    reading = pool.read_many(wanted)
    await asyncio.to_thread(next, reading)
    await disk.silence(host)
    going_on = asyncio.create_task(asyncio.to_thread(list, reading))
    await asked_in_vain(host.address, 2)
    assert not going_on.done()
    await disk.simulation.pool.failures.hear(host)
    await going_on
    assert CONTENT == b"".join(read.buffer for read in wanted)
    assert () == pool.notices()
    pool.close()


async def test_a_share_that_nobody_can_tell_does_not_end_a_read_that_goes_on(disk: Disk) -> None:
    """As when the coordinator presents another certificate in the middle of a backup."""

    def refresh() -> list[NbdEndpoint]:
        raise FailedPrecondition("It presents another certificate.", reason="CERTIFICATE_CHANGED")

    now = [0.0]
    [first, *_] = await disk.readers()
    shared = NbdEndpoint(
        first.host_id,
        first.address,
        first.port,
        first.export_name,
        first.certificate_pem,
        first.server_name,
        max_connections=1,
    )
    pool = NbdPool(SIZE, [shared], refresh, READING, monotonic=lambda: now[0])
    for read in reads():
        now[0] += 1.0
        await asyncio.to_thread(pool.read_into, read.offset, read.buffer)
    assert {"CERTIFICATE_CHANGED"} == codes(pool)
    pool.close()


async def test_a_disk_is_written_through_the_next_host_when_the_first_one_is_silent(disk: Disk) -> None:
    task, endpoints = await disk.writers()
    [_, second] = disk.simulation.pool.hosts.values()
    await disk.silence(second)
    target = HttpDiskTarget(SIZE, endpoints[::-1], _nobody_else, WRITING)
    content = bytes(reversed(CONTENT))
    await asyncio.to_thread(_write, target, content)
    assert "success" == (await disk.sdk.wait_for_task(task))["status"]
    assert {"HTTP_UNREACHABLE"} == codes(target)
    assert content == disk.content()


async def test_a_host_that_falls_silent_in_the_middle_is_noticed_and_no_other_gets_the_same_task(
    disk: Disk,
) -> None:
    _, endpoints = await disk.writers()
    [first, second] = disk.simulation.pool.hosts.values()
    target = HttpDiskTarget(SIZE, endpoints, _nobody_else, WRITING)
    await asyncio.to_thread(target.begin, [Extent(0, SIZE)])
    await asyncio.to_thread(target.write, 0, CONTENT[:MIB])
    await disk.silence(first)
    with pytest.raises(Unavailable) as silent:
        await asyncio.to_thread(_rest, target)
    assert "HTTP_HOST_SILENT" == silent.value.reason
    assert second.https is not None
    assert 0 == second.https.connection_count
    with pytest.raises(NotFound):
        await asyncio.to_thread(target.begin, [Extent(0, SIZE)])
    await disk.simulation.pool.failures.hear(first)


def _nobody_else() -> list[WriteEndpoint]:
    raise NotFound("It is for the whole restore to ask.", reason="WRITE_ENDPOINT_SPENT")


def _write(target: HttpDiskTarget, content: bytes) -> None:
    target.begin([Extent(0, SIZE)])
    for at in range(0, SIZE, MIB):
        target.write(at, content[at : at + MIB])
    target.finish()


def _rest(target: HttpDiskTarget) -> None:
    for at in range(MIB, SIZE, MIB):
        target.write(at, CONTENT[at : at + MIB])
    target.finish()
