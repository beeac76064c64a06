import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Self

import pytest
from structlog.testing import capture_logs

from services.chassis import program
from services.chassis.errors import DeadlineExceeded, Internal, Unavailable


class Part:
    """A component that writes down what happens to it."""

    def __init__(
        self, name: str, diary: list[str], work: Callable[[], Awaitable[object]] | None = None
    ) -> None:
        self._name = name
        self._diary = diary
        self._work = work or asyncio.Event().wait

    async def __aenter__(self) -> Self:
        self._diary.append(f"{self._name} up")
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.sleep(0)
        self._diary.append(f"{self._name} down")

    async def run(self) -> None:
        await self._work()


async def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.Event().wait()


async def fail() -> None:
    raise Unavailable("The bus is gone.", reason="BUS_UNAVAILABLE")


async def test_parts_start_in_order_and_stop_in_reverse_on_sigterm() -> None:
    diary: list[str] = []
    with capture_logs() as logs:
        await program.run(Part("store", diary), Part("bus", diary), Part("server", diary, terminate))
    assert diary == ["store up", "bus up", "server up", "server down", "bus down", "store down"]
    assert [entry["event"] for entry in logs] == ["ready", "stopping", "stopped"]


async def test_the_first_failure_stops_everybody_and_is_what_is_raised() -> None:
    diary: list[str] = []
    with pytest.raises(Unavailable):
        await program.run(Part("store", diary), Part("consumer", diary, fail), Part("server", diary))
    assert diary[-2:] == ["consumer down", "store down"]


async def test_a_part_that_ends_by_itself_is_a_failure() -> None:
    async def nothing() -> None:
        return None

    with pytest.raises(Internal) as caught:
        await program.run(Part("loop", [], nothing))
    assert caught.value.reason == "COMPONENT_ENDED"


async def test_a_failure_to_start_leaves_what_had_started() -> None:
    class Broken(Part):
        async def __aenter__(self) -> Self:
            raise Unavailable("No database.", reason="DATABASE_UNAVAILABLE")

    diary: list[str] = []
    with pytest.raises(Unavailable):
        await program.run(Part("bus", diary), Broken("database", diary), Part("server", diary))
    assert diary == ["bus up", "bus down"]


async def test_a_signal_while_starting_stops_what_has_started() -> None:
    class Waiting(Part):
        async def __aenter__(self) -> Self:
            await terminate()
            return self

    diary: list[str] = []
    await program.run(Part("store", diary), Waiting("bus", diary))
    assert diary == ["store up", "store down"]


async def test_a_failure_while_stopping_does_not_disturb_the_others() -> None:
    stopping = asyncio.Event()

    async def fail_late() -> None:
        await stopping.wait()
        raise Unavailable("The connection was closed.", reason="BUS_UNAVAILABLE")

    class Slow(Part):
        async def __aexit__(self, *_: object) -> None:
            stopping.set()
            for _turn in range(10):
                await asyncio.sleep(0)
            self._diary.append("slow down")

    diary: list[str] = []
    with pytest.raises(Unavailable):
        await program.run(Part("bus", diary, fail_late), Slow("slow", diary, terminate))
    assert diary == ["bus up", "slow up", "slow down", "bus down"]


async def test_stopping_has_a_deadline() -> None:
    class Stuck(Part):
        async def __aexit__(self, *_: object) -> None:
            await asyncio.Event().wait()

    diary: list[str] = []
    with pytest.raises(DeadlineExceeded) as caught:
        await program.run(
            Part("store", diary), Stuck("stuck", diary, terminate), grace=timedelta(seconds=0.05)
        )
    assert caught.value.reason == "SHUTDOWN_TOO_SLOW"
    assert diary[-1] == "store down"


async def test_a_second_signal_does_not_wait() -> None:
    class Impatient(Part):
        async def __aexit__(self, *_: object) -> None:
            await terminate()

    with pytest.raises(DeadlineExceeded):
        await program.run(Impatient("x", [], terminate), grace=timedelta(minutes=5))
