"""Carries pending deliveries to their peers, each channel by itself."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from services.chassis.clock import Clock
from services.chassis.errors import NotFound, Unavailable
from services.notifier.app.attempt import Outcome, attempt
from services.notifier.domain.channel import Channel
from services.notifier.domain.delivery import Delivery, State
from services.notifier.ports import Books, Sinks, Store

CLAIM = timedelta(seconds=6)
"""How long a delivery stays with a courier that is not heard of again (killed); a living one renews it."""
STORE_PAUSE = timedelta(seconds=2)
IDLE_LOOK = timedelta(hours=1)
"""How often old deliveries are forgotten, also when there is nothing to carry."""


_log = structlog.get_logger("xenkeep.notifier")


class Courier:
    """A slow or dead peer holds up nobody else: every channel has a task of its own.

    Killed between the peer's yes and our note of it, the next courier sends the same message again, with the
    same identity, once the claim has run out. Several couriers may share the books.
    """

    def __init__(
        self,
        store: Store,
        sinks: Sinks,
        clock: Clock,
        *,
        keep: timedelta = timedelta(days=90),
        claim: timedelta = CLAIM,
    ) -> None:
        """`keep` is how long deliveries that ended stay listed."""
        self._store = store
        self._sinks = sinks
        self._clock = clock
        self._keep = keep
        self._claim = claim
        self._awake = asyncio.Event()

    def wake(self) -> None:
        """There may be something to carry."""
        self._awake.set()

    async def run(self) -> None:
        """Carry until cancelled; while the store is Unavailable, wait for it."""
        rounds: dict[str, asyncio.Task[None]] = {}
        async with asyncio.TaskGroup() as group:
            while True:
                self._awake.clear()
                rounds = {name: task for name, task in rounds.items() if not task.done()}
                try:
                    schedule = await self._look()
                except Unavailable as error:
                    _log.warning("courier waits", reason=error.reason, error=error.message)
                    await self._clock.sleep(STORE_PAUSE.total_seconds())
                    continue
                now = self._clock.now()
                for name, moment in schedule:
                    if moment <= now and name not in rounds:
                        rounds[name] = group.create_task(self._round(name))
                waiting = [moment for name, moment in schedule if name not in rounds]
                await self._sleep_until(min([*waiting, now + IDLE_LOOK]))

    async def _look(self) -> Sequence[tuple[str, datetime]]:
        """Through the writers' door: whoever woke us may not have committed yet, and is waited for."""
        async with self._store.begin() as books:
            await books.forget(self._clock.now() - self._keep)
            return await books.schedule()

    async def _sleep_until(self, moment: datetime) -> None:
        left = (moment - self._clock.now()).total_seconds()
        try:
            await self._clock.wait(self._awake.wait(), max(0.0, left))
        except TimeoutError:
            return

    async def _round(self, name: str) -> None:
        """Everything of one channel that is due now, oldest first.

        What the store could not note is carried again when its claim has run out.
        """
        try:
            while await self._carry_one(name):
                pass
        except Unavailable as error:
            _log.warning("courier pauses", channel=name, reason=error.reason, error=error.message)
        finally:
            self.wake()

    async def _carry_one(self, name: str) -> bool:
        now = self._clock.now()
        async with self._store.begin() as books:
            delivery = await books.claim(name, now, now + self._claim)
            if delivery is None:
                return False
            try:
                channel = await books.channel(name)
            except NotFound:
                gone = replace(
                    delivery, state=State.FAILED, detail="The channel was removed.", finish_time=now
                )
                await books.save(gone)
                return True
        async with self._held(delivery):
            outcome = await attempt(self._sinks, channel, delivery, self._clock)
        async with self._store.begin() as books:
            await self._note(books, channel, outcome)
        return True

    @asynccontextmanager
    async def _held(self, delivery: Delivery) -> AsyncIterator[None]:
        """Nobody else takes the delivery inside, however long the peer thinks."""
        holding = asyncio.create_task(self._hold(delivery))
        try:
            yield
        finally:
            holding.cancel()
            # A store that failed it fails the note that follows too, and there it is raised.
            await asyncio.gather(holding, return_exceptions=True)

    async def _hold(self, delivery: Delivery) -> None:
        while True:
            await self._clock.sleep(self._claim.total_seconds() / 3)
            async with self._store.begin() as books:
                await books.extend(delivery.delivery_id, self._clock.now() + self._claim)

    async def _note(self, books: Books, channel: Channel, outcome: Outcome) -> None:
        """A peer that is down is asked once, and its silence counts for all that were due: a long queue
        must not take one timeout each."""
        now = self._clock.now()
        ended = [outcome.delivery]
        if outcome.channel_failure:
            due = await books.due(channel.name, now)
            ended += [other.refused(outcome.channel_failure, now, final=False) for other in due]
        for delivery in ended:
            await self._save(books, delivery)

    @staticmethod
    async def _save(books: Books, delivery: Delivery) -> None:
        await books.save(delivery)
        if delivery.state is State.FAILED:
            await books.announce_failed(delivery)
