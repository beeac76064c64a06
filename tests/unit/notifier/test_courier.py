"""Who is carried when, with a clock that stands still."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from unittest.mock import patch

from services.chassis.clock import FakeClock
from services.chassis.errors import FailedPrecondition, Unavailable
from services.notifier.adapters.memory_store import MemoryBooks, MemoryStore
from services.notifier.app.courier import CLAIM, Courier
from services.notifier.domain.channel import Channel
from services.notifier.domain.delivery import Delivery, Receipt, State
from services.notifier.domain.settings import Syslog, SyslogTransport
from tests.contract.notifier.samples import NOW, a_delivery, a_notification

Behaviour = Callable[[Delivery], Awaitable[Receipt]]


async def takes(delivery: Delivery) -> Receipt:
    return Receipt(True, "250 OK")


async def is_down(delivery: Delivery) -> Receipt:
    raise Unavailable("The peer is down.", reason="PEER_UNREACHABLE", hint="Start it.")


async def dislikes_the_first(delivery: Delivery) -> Receipt:
    if delivery.delivery_id == "1":
        raise Unavailable("Come back later.", reason="PEER_REFUSED")
    return await takes(delivery)


async def refuses_for_good(delivery: Delivery) -> Receipt:
    raise FailedPrecondition("No such user.", reason="PEER_REFUSED")


async def cannot_log_in(delivery: Delivery) -> Receipt:
    raise FailedPrecondition("Wrong password.", reason="PEER_LOGIN")


async def is_defective(delivery: Delivery) -> Receipt:
    raise KeyError("hunter2")


async def hangs(delivery: Delivery) -> Receipt:
    await asyncio.Event().wait()
    raise AssertionError


class FakeSinks:
    """`behaviours` by channel; `tried` are the ids of deliveries, in order."""

    def __init__(self, **behaviours: Behaviour) -> None:
        self.behaviours = behaviours
        self.tried: list[str] = []

    def of(self, channel: Channel) -> "FakeSink":
        return FakeSink(self, channel.name)


class FakeSink:
    def __init__(self, sinks: FakeSinks, name: str) -> None:
        self._sinks = sinks
        self._name = name

    async def deliver(self, delivery: Delivery) -> Receipt:
        self._sinks.tried.append(delivery.delivery_id)
        return await self._sinks.behaviours[self._name](delivery)


class Scene:
    def __init__(self, **behaviours: Behaviour) -> None:
        self.clock = FakeClock(NOW)
        self.store = MemoryStore()
        self.sinks = FakeSinks(**behaviours)
        for name in behaviours:
            self.store.books.by_name[name] = Channel(name, Syslog("localhost", 514, SyslogTransport.UDP))

    def post(self, channel: str, delivery_id: str) -> None:
        notification = replace(a_notification(), event_id=f"event-{delivery_id}")
        delivery = a_delivery("x", notification, delivery_id=delivery_id, channel=channel)
        self.store.books.by_id[delivery_id] = delivery

    def state(self, delivery_id: str) -> State:
        return self.store.books.by_id[delivery_id].state

    @asynccontextmanager
    async def courier(self) -> AsyncIterator[Courier]:
        courier = Courier(self.store, self.sinks, self.clock)
        running = asyncio.create_task(courier.run())
        await self.clock.advance(0)
        try:
            yield courier
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


async def test_what_is_due_is_carried_and_noted() -> None:
    scene = Scene(mail=takes)
    scene.post("mail", "1")
    scene.post("mail", "2")
    async with scene.courier():
        assert scene.sinks.tried == ["1", "2"]
    delivered = scene.store.books.by_id["1"]
    assert (delivered.state, delivered.attempts, delivered.confirmed) == (State.DELIVERED, 1, True)
    assert delivered.detail == "250 OK"


async def test_a_new_delivery_is_carried_when_the_courier_is_woken() -> None:
    scene = Scene(mail=takes)
    async with scene.courier() as courier:
        scene.post("mail", "1")
        courier.wake()
        await scene.clock.advance(0)
        assert scene.state("1") is State.DELIVERED


async def test_a_hanging_channel_holds_up_no_other() -> None:
    scene = Scene(dead=hangs, mail=takes)
    scene.post("dead", "1")
    scene.post("mail", "2")
    async with scene.courier() as courier:
        assert scene.state("2") is State.DELIVERED
        scene.post("mail", "3")
        courier.wake()
        await scene.clock.advance(0)
        assert scene.state("3") is State.DELIVERED
        assert scene.state("1") is State.PENDING


async def test_a_peer_that_is_down_is_asked_once_for_all_that_wait() -> None:
    scene = Scene(mail=is_down)
    for number in "123":
        scene.post("mail", number)
    async with scene.courier():
        assert scene.sinks.tried == ["1"]
        assert [scene.store.books.by_id[number].attempts for number in "123"] == [1, 1, 1]


async def test_a_delivery_is_given_up_after_eight_attempts_and_that_is_told() -> None:
    scene = Scene(mail=is_down)
    scene.post("mail", "1")
    async with scene.courier():
        for _ in range(12):
            await scene.clock.advance(1800)
    assert scene.sinks.tried == ["1"] * 8
    assert [delivery.delivery_id for delivery in scene.store.books.announced] == ["1"]
    failed = scene.store.books.by_id["1"]
    assert (failed.state, failed.attempts, failed.detail) == (State.FAILED, 8, "The peer is down. Start it.")


async def test_a_peer_that_comes_back_gets_what_waited() -> None:
    scene = Scene(mail=is_down)
    scene.post("mail", "1")
    async with scene.courier():
        scene.sinks.behaviours["mail"] = takes
        await scene.clock.advance(14)
        assert scene.state("1") is State.PENDING
        await scene.clock.advance(2)
        assert scene.state("1") is State.DELIVERED


async def test_a_refused_recipient_does_not_hold_up_the_next_one() -> None:
    scene = Scene(mail=dislikes_the_first)
    scene.post("mail", "1")
    scene.post("mail", "2")
    async with scene.courier():
        assert (scene.state("1"), scene.state("2")) == (State.PENDING, State.DELIVERED)


async def test_a_final_refusal_is_not_repeated() -> None:
    scene = Scene(mail=refuses_for_good)
    scene.post("mail", "1")
    async with scene.courier():
        await scene.clock.advance(7200)
    assert scene.sinks.tried == ["1"]
    assert scene.state("1") is State.FAILED
    assert len(scene.store.books.announced) == 1


async def test_what_waits_for_a_corrected_password_is_not_lost() -> None:
    scene = Scene(mail=cannot_log_in)
    scene.post("mail", "1")
    scene.post("mail", "2")
    async with scene.courier():
        await scene.clock.advance(120)
        assert (scene.state("1"), scene.state("2")) == (State.PENDING, State.PENDING)
        scene.sinks.behaviours["mail"] = takes
        await scene.clock.advance(240)
        assert (scene.state("1"), scene.state("2")) == (State.DELIVERED, State.DELIVERED)


async def test_a_defect_of_one_sink_is_noted_without_its_text_and_harms_no_other() -> None:
    scene = Scene(bad=is_defective, mail=takes)
    scene.post("bad", "1")
    scene.post("mail", "2")
    async with scene.courier():
        assert scene.state("2") is State.DELIVERED
    detail = scene.store.books.by_id["1"].detail
    assert "KeyError in test_courier.py" in detail
    assert "hunter2" not in detail


async def test_what_a_killed_courier_had_is_carried_by_the_next_once_the_claim_ran_out() -> None:
    scene = Scene(mail=hangs)
    scene.post("mail", "1")
    async with scene.courier():
        assert scene.sinks.tried == ["1"]
    scene.sinks.behaviours["mail"] = takes
    async with scene.courier():
        assert scene.state("1") is State.PENDING
        await scene.clock.advance(CLAIM.total_seconds() + 1)
        assert scene.state("1") is State.DELIVERED
    assert scene.sinks.tried == ["1", "1"]


async def test_a_living_courier_keeps_what_a_slow_peer_thinks_about() -> None:
    scene = Scene(mail=hangs)
    scene.post("mail", "1")
    async with scene.courier(), scene.courier():
        await scene.clock.advance(5 * CLAIM.total_seconds())
    assert scene.sinks.tried == ["1"]


async def test_a_store_that_is_away_for_a_while_is_waited_for() -> None:
    scene = Scene(mail=takes)
    scene.post("mail", "1")
    open_books, absences = scene.store.begin, iter(range(3))

    def begin() -> AbstractAsyncContextManager[MemoryBooks]:
        if next(absences, None) is not None:
            raise Unavailable("The database is away.", reason="DATABASE_UNAVAILABLE")
        return open_books()

    with patch.object(scene.store, "begin", begin):
        async with scene.courier():
            await scene.clock.advance(2 * CLAIM.total_seconds())
            assert scene.state("1") is State.DELIVERED


async def test_what_waits_for_a_channel_that_is_gone_fails_and_says_so() -> None:
    scene = Scene(mail=takes)
    scene.post("gone", "1")
    async with scene.courier():
        assert scene.state("1") is State.FAILED
    assert scene.store.books.by_id["1"].detail == "The channel was removed."


async def test_old_deliveries_are_forgotten() -> None:
    scene = Scene(mail=takes)
    scene.post("mail", "1")
    async with scene.courier() as courier:
        await scene.clock.advance(timedelta(days=91).total_seconds())
        courier.wake()
        await scene.clock.advance(0)
    assert scene.store.books.by_id == {}
