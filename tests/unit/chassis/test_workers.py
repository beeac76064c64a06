"""How many take work of a queue at once."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

from services.chassis.bus.work import LOOK_S, Workers, WorkQueue
from services.chassis.clock import FakeClock


class Queue:
    """Work that ends when the test says so."""

    def __init__(self) -> None:
        self.taking: list[asyncio.Event] = []

    async def take(self, _: Callable[..., Awaitable[None]]) -> None:
        done = asyncio.Event()
        self.taking.append(done)
        await done.wait()
        self.taking.remove(done)

    async def end_all(self, clock: FakeClock) -> None:
        for done in list(self.taking):
            done.set()
        await clock.advance(0)


async def _nothing(*_: object) -> None:
    """Never called."""


async def test_no_more_take_work_than_are_admitted_and_those_who_are_not_ask_again() -> None:
    queue, clock, admitted = Queue(), FakeClock(), 2
    workers = Workers(cast("WorkQueue[Any]", queue), _nothing, room=4, admitted=lambda: admitted, clock=clock)
    running = asyncio.create_task(workers.run())
    await clock.advance(0)
    assert 2 == len(queue.taking)

    admitted = 3
    await clock.advance(LOOK_S)
    assert 3 == len(queue.taking)

    admitted = 1
    await clock.advance(LOOK_S)
    assert 3 == len(queue.taking)  # nothing is given back
    await queue.end_all(clock)
    assert 1 == len(queue.taking)

    admitted = 9
    await clock.advance(LOOK_S)
    assert 4 == len(queue.taking)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_while_more_are_at_work_than_are_admitted_whoever_ends_takes_nothing_more() -> None:
    queue, clock, admitted = Queue(), FakeClock(), 4
    workers = Workers(cast("WorkQueue[Any]", queue), _nothing, room=4, admitted=lambda: admitted, clock=clock)
    running = asyncio.create_task(workers.run())
    await clock.advance(0)
    assert 4 == len(queue.taking)

    admitted = 2
    for left in (3, 2, 2, 2):
        queue.taking[0].set()
        await clock.advance(0)
        assert left == len(queue.taking)
        await clock.advance(LOOK_S)
        assert left == len(queue.taking)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
