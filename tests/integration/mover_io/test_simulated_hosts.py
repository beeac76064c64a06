"""The mover's NBD pool against the NBD servers of simulated hosts: cut, killed, full, and all at once."""

import asyncio
import random
import ssl
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme

from services.mover.adapters.nbd_endpoint import NbdEndpoint
from services.mover.adapters.nbd_pool import NbdPool
from services.mover.adapters.nbd_supply import NbdPoolOptions
from services.mover.domain import BlockRead
from services.simulator.nbd.ports import Export, Mode
from services.simulator.nbd.server import NbdServer
from services.simulator.storage.ports import Disk
from services.simulator.storage.sr import Sr

SIZE = 8 << 20
CONTENT = random.Random(17).randbytes(SIZE)
QUICK = NbdPoolOptions(patience=10, first_pause=0.05, longest_pause=0.2)


class OpenDoor:
    """Gives the disk to whoever asks."""

    def __init__(self, disk: Disk) -> None:
        self.disk = disk
        self.opened = 0
        self.closed = 0

    def mode(self) -> Mode:
        return Mode.FORCED_TLS

    async def open_export(self, name: str) -> Export:
        self.opened += 1
        return Export(self.disk, token=name)

    async def close_export(self, export: Export) -> None:
        self.closed += 1


class Host:
    """A simulated host's NBD server and how to reach it."""

    def __init__(self, host_id: str, disk: Disk) -> None:
        certificate = trustme.CA().issue_cert("localhost")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(context)
        self.host_id = host_id
        self.door = OpenDoor(disk)
        self.server = NbdServer(self.door, context)
        self.certificate = certificate.cert_chain_pems[0].bytes().decode()

    async def start(self, port: int = 0) -> None:
        await self.server.start("127.0.0.1", port)
        self.endpoint = NbdEndpoint(
            self.host_id,
            "127.0.0.1",
            self.server.port,
            "/disk?session_id=secret",
            self.certificate,
            "localhost",
        )


@pytest.fixture
async def hosts(tmp_path: Path) -> AsyncIterator[list[Host]]:
    storage = Sr.create(tmp_path / "sr", 64 << 20)
    storage.create_disk("disk", SIZE)
    storage.disk("disk").write(0, CONTENT)
    started = [Host(f"host-{number}", storage.disk("disk")) for number in (1, 2)]
    for host in started:
        await host.start()
    yield started
    for host in started:
        await host.server.close()
        assert host.door.opened == host.door.closed


def read_all(pool: NbdPool) -> bytes:
    reads = [BlockRead(offset, memoryview(bytearray(65536))) for offset in range(0, SIZE, 65536)]
    for _ in pool.read_many(reads):
        pass
    return b"".join(read.buffer for read in reads)


async def in_threads(pool: NbdPool, count: int) -> list[bytes]:
    return await asyncio.gather(*(asyncio.to_thread(read_all, pool) for _ in range(count)))


def codes(pool: NbdPool) -> set[str]:
    return {notice.code for notice in pool.notices()}


async def test_a_disk_is_read_over_two_hosts(hosts: list[Host]) -> None:
    endpoints = [host.endpoint for host in hosts]
    pool = NbdPool(SIZE, endpoints, lambda: endpoints, QUICK)
    assert await in_threads(pool, 4) == [CONTENT] * 4
    assert [host.door.opened for host in hosts] == [2, 2]
    pool.close()
    assert pool.notices() == ()


@pytest.mark.parametrize("after", [0, 100, 1000, 70_000, 1_000_000, 8_000_000])
async def test_a_connection_cut_at_any_byte_costs_no_byte(hosts: list[Host], after: int) -> None:
    endpoint = hosts[0].endpoint
    hosts[0].server.cut_after(after)
    pool = NbdPool(SIZE, [endpoint], lambda: [endpoint], QUICK)
    assert await in_threads(pool, 1) == [CONTENT]
    pool.close()
    assert pool.notices()
    assert pool.bytes_read == SIZE


async def test_a_host_killed_while_it_is_read_is_replaced_by_the_other(hosts: list[Host]) -> None:
    first, second = hosts
    pool = NbdPool(SIZE, [first.endpoint], lambda: [second.endpoint], QUICK)
    reads = [BlockRead(offset, memoryview(bytearray(65536))) for offset in range(0, SIZE, 65536)]
    iteration = pool.read_many(reads)
    await asyncio.to_thread(next, iteration)
    first.server.kill()
    rest = await asyncio.to_thread(list, iteration)
    assert len(rest) == len(reads) - 1
    assert b"".join(read.buffer for read in reads) == CONTENT
    assert pool.bytes_redone > 0
    assert "NBD_ENDPOINTS_ASKED" in codes(pool)
    pool.close()


async def test_a_host_that_restarts_is_used_again(hosts: list[Host]) -> None:
    (host, _) = hosts
    loop = asyncio.get_running_loop()
    port = host.server.port

    def refresh() -> list[NbdEndpoint]:
        asyncio.run_coroutine_threadsafe(host.start(port), loop).result(10)
        return [host.endpoint]

    pool = NbdPool(SIZE, [host.endpoint], refresh, QUICK)
    host.server.kill()
    assert await in_threads(pool, 1) == [CONTENT]
    assert "NBD_UNREACHABLE" in codes(pool)
    pool.close()


async def test_a_full_host_is_waited_for(hosts: list[Host]) -> None:
    (host, _) = hosts
    options = NbdPoolOptions(connections=16, connections_per_host=16)
    others = NbdPool(SIZE, [host.endpoint], lambda: [host.endpoint], options)
    iterations = [
        others.read_many([BlockRead(0, memoryview(bytearray(512))) for _ in range(9)]) for _ in range(16)
    ]
    for iteration in iterations:
        await asyncio.to_thread(next, iteration)
    assert host.server.connections == 16
    turned_away = threading.Event()

    def refresh() -> list[NbdEndpoint]:
        turned_away.set()
        return [host.endpoint]

    pool = NbdPool(SIZE, [host.endpoint], refresh, QUICK)
    reading = asyncio.create_task(asyncio.to_thread(read_all, pool))
    await asyncio.to_thread(turned_away.wait)
    assert "NBD_HOST_FULL" in codes(pool)
    others.close()
    assert await reading == CONTENT
    pool.close()
