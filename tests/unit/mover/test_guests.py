"""Who has a place keeps it while something of it is under way, or while nobody else wants it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack

import pytest

from services.chassis.clock import FakeClock
from services.chassis.errors import Unavailable
from services.mover.app.guests import Guest, Guests
from tests.support.waiting import until_true


class Listener:
    """Listens to a stream in a task of its own, and works on each message until it may ``go_on``."""

    def __init__(self, guest: Guest) -> None:
        self._messages: asyncio.Queue[str] = asyncio.Queue()
        self.heard, self.go_on = asyncio.Event(), asyncio.Event()
        self.task = asyncio.create_task(self._listen(guest))

    def say(self, message: str) -> None:
        self._messages.put_nowait(message)

    async def _stream(self) -> AsyncIterator[str]:
        while True:
            yield await self._messages.get()

    async def _listen(self, guest: Guest) -> None:
        async for _ in guest.messages(self._stream()):
            self.heard.set()
            await self.go_on.wait()


async def _until_listening(guest: Guest) -> None:
    await until_true(lambda: guest.silent_since is not None)


def _refused(guests: Guests) -> bool:
    try:
        with guests.one():
            return False
    except Unavailable as error:
        assert "REPLICA_BUSY" == error.reason
        return True


async def test_who_is_at_work_is_not_sent_away_however_long_it_takes() -> None:
    clock = FakeClock()
    guests = Guests(clock, most=1, idle_s=60)
    with guests.one() as guest:
        listener = Listener(guest)
        listener.say("a piece")
        await listener.heard.wait()
        await clock.advance(3600)
        assert _refused(guests)
        assert 1 == guests.count
        listener.go_on.set()
        await _until_listening(guest)
        assert _refused(guests), "all that time was ours"
        await clock.advance(60)
        assert not _refused(guests)
        with pytest.raises(Unavailable, match="silent while others waited"):
            await listener.task


async def test_of_several_who_are_silent_the_one_that_is_so_for_longest_makes_room() -> None:
    clock = FakeClock()
    guests = Guests(clock, most=2, idle_s=60)
    with ExitStack() as places:
        listeners = []
        for _ in range(2):
            guest = places.enter_context(guests.one())
            listeners.append(Listener(guest))
            await _until_listening(guest)
            await clock.advance(10)
        assert _refused(guests)
        await clock.advance(100)
        assert not _refused(guests)
        with pytest.raises(Unavailable):
            await listeners[0].task
        assert not listeners[1].task.done()
        listeners[1].task.cancel()
        await asyncio.gather(listeners[1].task, return_exceptions=True)
    assert 0 == guests.count
