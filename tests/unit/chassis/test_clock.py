import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from services.chassis.clock import FakeClock, SystemClock
from services.chassis.ids import RandomIds, SequentialIds


async def test_a_fake_clock_wakes_sleepers_in_order_and_at_their_moment() -> None:
    clock = FakeClock()
    woken: list[tuple[str, float]] = []

    async def sleeper(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append((name, clock.monotonic()))

    tasks = [asyncio.create_task(sleeper("late", 10)), asyncio.create_task(sleeper("early", 5))]
    await clock.until_sleeping(2)
    await clock.advance(4.9)
    assert woken == []
    await clock.advance(20)
    assert woken == [("early", 5.0), ("late", 10.0)]
    await asyncio.gather(*tasks)


async def test_a_fake_clock_lets_a_loop_sleep_again_within_one_advance() -> None:
    clock = FakeClock()
    ticks: list[datetime] = []

    async def ticking() -> None:
        while True:
            await clock.sleep(60)
            ticks.append(clock.now())

    task = asyncio.create_task(ticking())
    await clock.until_sleeping()
    await clock.advance(180)
    task.cancel()
    assert len(ticks) == 3
    assert timedelta(seconds=180) == ticks[-1] - datetime(2026, 1, 1, tzinfo=UTC)


async def test_waiting_ends_with_the_result_or_with_the_time() -> None:
    clock = FakeClock()
    never = asyncio.get_running_loop().create_future()
    waiting = asyncio.create_task(clock.wait(never, 3))
    await clock.until_sleeping()
    await clock.advance(3)
    with pytest.raises(TimeoutError):
        await waiting
    assert never.cancelled()
    assert await clock.wait(asyncio.sleep(0, 7), 3) == 7


async def test_the_system_clock_is_aware_and_does_not_sleep_for_the_past() -> None:
    clock = SystemClock()
    assert clock.now().tzinfo == UTC
    await clock.sleep_until(clock.now() - timedelta(days=1))
    await clock.sleep(-1)
    with pytest.raises(TimeoutError):
        await clock.wait(asyncio.Event().wait(), 0.001)


def test_ids_are_new_each_time_and_fakes_can_be_foretold() -> None:
    ids = RandomIds()
    assert ids.new() != ids.new()
    fake = SequentialIds("run")
    assert [fake.new(), fake.new()] == ["run-1", "run-2"]
