"""Whoever is told to end ends, even if a library swallowed the word."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from services.chassis.bus.pull import Pull
from services.chassis.clock import SystemClock


class Swallower:
    """A subscription whose ``fetch`` returns a message in place of a cancellation, as nats-py may."""

    def __init__(self) -> None:
        self.waiting = asyncio.Event()
        self.message = SimpleNamespace(metadata=SimpleNamespace(sequence=SimpleNamespace(stream=1)))

    async def fetch(self, count: int, timeout: float) -> list[Any]:
        self.waiting.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return [self.message]
        raise AssertionError

    async def unsubscribe(self) -> None:
        return


class Bus:
    def __init__(self) -> None:
        self.connected = asyncio.Event()
        self.connected.set()
        self.given_back: list[Any] = []

    async def give_back(self, message: Any, pause_s: float = 0.0) -> None:
        self.given_back.append(message)


async def test_a_pull_that_is_cancelled_while_a_message_arrives_ends_and_gives_it_back() -> None:
    bus, subscription = Bus(), Swallower()
    pull = Pull(bus, "STREAM", lambda _: None, SystemClock())  # type: ignore[arg-type,return-value]
    pull._subscription = subscription  # type: ignore[assignment]
    task = asyncio.create_task(pull.next())
    await subscription.waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [subscription.message] == bus.given_back


async def test_waiting_with_a_limit_hears_a_cancellation_that_comes_with_the_result() -> None:
    result: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(SystemClock().wait(result, 30))
    await asyncio.sleep(0)
    result.set_result(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_waiting_with_a_limit_gives_up_and_cancels() -> None:
    endless = asyncio.ensure_future(asyncio.Event().wait())
    with pytest.raises(TimeoutError):
        await SystemClock().wait(endless, 0.01)
    assert endless.cancelled()
