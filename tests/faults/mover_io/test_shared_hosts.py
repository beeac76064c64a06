"""Slow hosts, and disks that share hosts: nobody waits for the slow one, nobody is taken for lost."""

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from services.mover.adapters.nbd_endpoint import NbdEndpoint
from services.mover.adapters.nbd_pool import NbdPool
from services.mover.adapters.nbd_sharing import NbdSharing
from services.mover.adapters.nbd_supply import NbdPoolOptions
from services.mover.domain import BlockRead
from tests.faults.mover_io.hostile_nbd import SIZE, HostileNbd, Talk, good

pytestmark = pytest.mark.scenario(40)

CONTENT = random.Random(12).randbytes(SIZE)
STEP = 65536
LONG_S = 60.0
"""Nobody waits so long but in a test that fails."""


def waits(sharing: NbdSharing, readers: int) -> bool:
    """Whether so many disks have asked for connections; whoever has the lock then waits, or has one."""
    with sharing.changed:
        return len(sharing.readers) == readers


def never_asked() -> list[NbdEndpoint]:
    raise AssertionError("there was no need to ask")


def test_a_slow_host_keeps_only_what_it_was_asked_for(tmp_path: Path) -> None:
    """One host answers nothing before the other one has given all the rest: what each connection has in
    flight is all that waits for it."""
    window, slow_connections = 2, 1
    rest = threading.Semaphore(0)
    left = SIZE // STEP - window * slow_connections

    def slow(talk: Talk) -> None:
        talk.greet()
        talk.export()
        first = talk.request()
        for _ in range(left):
            assert rest.acquire(timeout=LONG_S)
        talk.reply(first)
        talk.serve()

    def quick(talk: Talk) -> None:
        talk.greet()
        talk.export()
        while (request := talk.request()).command == 0:
            talk.reply(request)
            rest.release()

    options = NbdPoolOptions(connections=2, connections_per_host=1, window=window)
    with (
        HostileNbd(tmp_path, [slow], disk=CONTENT, host_id="host-1") as behind,
        HostileNbd(tmp_path, [quick], disk=CONTENT, host_id="host-2") as ahead,
        ThreadPoolExecutor(2) as threads,
    ):
        pool = NbdPool(SIZE, [behind.endpoint, ahead.endpoint], never_asked, options)
        reads = [BlockRead(at, memoryview(bytearray(STEP))) for at in range(0, SIZE, STEP)]
        shared = iter(reads)
        list(threads.map(lambda _: list(pool.read_many(shared)), range(2)))
        pool.close()
        assert (1, 1) == (behind.connections, ahead.connections)
    assert CONTENT == b"".join(read.buffer for read in reads)
    assert () == pool.notices()


def test_a_disk_that_waits_for_the_connection_of_another_is_not_lost(tmp_path: Path) -> None:
    """However long: the host gives the source one connection, and the other disk has it."""
    now = [0.0]
    sharing = NbdSharing()
    options = NbdPoolOptions(patience=30)
    with HostileNbd(tmp_path, [good], disk=CONTENT) as server, ThreadPoolExecutor(1) as thread:
        only = replace(server.endpoint, max_connections=1)
        first, second = (
            NbdPool(SIZE, [only], lambda: [only], options, monotonic=lambda: now[0], sharing=sharing)
            for _ in range(2)
        )
        first.read_into(0, memoryview(bytearray(STEP)))
        found = bytearray(SIZE)
        reading = thread.submit(second.read_into, 0, memoryview(found))
        try:
            while not waits(sharing, 2):
                assert not reading.done()
            now[0] = 1000.0
            assert 1 == server.connections
            first.close()
            reading.result(timeout=LONG_S)
            assert 2 == server.connections
        finally:
            second.close()
    assert CONTENT == bytes(found)
    assert () == second.notices()
