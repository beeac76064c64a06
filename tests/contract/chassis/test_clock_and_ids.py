"""The laws of two small ports, for the fakes and for the real things."""

import asyncio
import re
from datetime import UTC, timedelta

import pytest

from services.chassis.clock import Clock, FakeClock, SystemClock
from services.chassis.ids import IdSource, RandomIds, SequentialIds


@pytest.fixture(params=[SystemClock, FakeClock])
def clock(request: pytest.FixtureRequest) -> Clock:
    made: Clock = request.param()
    return made


@pytest.fixture(params=[RandomIds, SequentialIds])
def ids(request: pytest.FixtureRequest) -> IdSource:
    made: IdSource = request.param()
    return made


async def passing(clock: Clock, seconds: float) -> None:
    if isinstance(clock, FakeClock):
        await clock.until_sleeping()
        await clock.advance(seconds)


async def test_now_is_aware_and_in_utc(clock: Clock) -> None:
    assert clock.now().tzinfo == UTC


async def test_sleeping_takes_as_long_as_asked_on_both_clocks(clock: Clock) -> None:
    started, wall = clock.monotonic(), clock.now()
    sleeping = asyncio.create_task(clock.sleep(0.05))
    await passing(clock, 0.05)
    await sleeping
    assert clock.monotonic() - started >= 0.05
    assert clock.now() - wall >= timedelta(seconds=0.049)


async def test_sleeping_until_a_moment_ends_at_it_and_at_once_when_it_has_passed(clock: Clock) -> None:
    moment = clock.now() + timedelta(seconds=0.05)
    sleeping = asyncio.create_task(clock.sleep_until(moment))
    await passing(clock, 0.05)
    await sleeping
    assert clock.now() >= moment
    await clock.sleep_until(moment)


async def test_waiting_too_long_cancels_what_was_waited_for(clock: Clock) -> None:
    never = asyncio.get_running_loop().create_future()
    waiting = asyncio.create_task(clock.wait(never, 0.05))
    await passing(clock, 0.05)
    with pytest.raises(TimeoutError):
        await waiting
    assert never.cancelled()


def test_ids_are_short_plain_and_never_repeated(ids: IdSource) -> None:
    made = [ids.new() for _ in range(1000)]
    assert len(set(made)) == 1000
    assert all(re.fullmatch(r"[0-9a-z-]{1,36}", each) for each in made)
