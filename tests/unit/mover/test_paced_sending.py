"""Packs that wait for their hour on the way to another mover take nothing from the rest of this one."""

import asyncio
import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc.aio
import pytest

from services.chassis.clock import FakeClock
from services.chassis.errors import Cancelled
from services.mover.adapters.grpc_replica import GrpcReplica
from services.mover.adapters.pace import Pace, SharedLine
from services.mover.domain.rates import RateLimit, RateLimits

NEVER = RateLimits((RateLimit(0, 0, 0),))
PACK = memoryview(b"a small pack")


async def test_many_small_packs_that_wait_leave_the_movers_threads_to_others() -> None:
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    clock, cancel = FakeClock(), threading.Event()
    pace = Pace(NEVER, SharedLine(clock), cancel)
    async with grpc.aio.insecure_channel("127.0.0.1:1") as channel:
        replica = GrpcReplica(channel, "The mover", "r", clock, lambda *_: None)
        sha256 = hashlib.sha256(PACK).digest()
        names = [f"packs/data/aa/{number:064x}" for number in range(3)]
        waiting = [asyncio.create_task(replica.put(name, PACK, sha256, pace)) for name in names]
        await clock.advance(5.0)
        assert 1 == await asyncio.to_thread(lambda: 1)
        assert not any(task.done() for task in waiting)

        cancel.set()
        await clock.advance(1.0)
        for task in waiting:
            with pytest.raises(Cancelled):
                await task


@pytest.mark.parametrize("in_loop", [True, False])
async def test_a_copy_that_is_cancelled_while_it_waits_keeps_no_other_waiting(in_loop: bool) -> None:
    clock, cancel = FakeClock(), threading.Event()
    line, limits = SharedLine(clock), RateLimits((RateLimit(0, 0, 100),))
    gone, other = Pace(limits, line, cancel), Pace(limits, line, threading.Event())
    other.wait(100)
    if in_loop:
        waiting = asyncio.create_task(gone.wait_in_loop(100))
        await clock.advance(0.5)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await clock.advance(0.5)
    else:
        cancel.set()
        with pytest.raises(Cancelled):
            gone.wait(100)
        await clock.advance(1.0)
    going = asyncio.create_task(other.wait_in_loop(100))  # its turn would come after the other's
    await clock.advance(0)
    assert going.done()
