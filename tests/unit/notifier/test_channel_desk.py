"""Looking after channels."""

from dataclasses import replace

import pytest

from services.chassis.clock import FakeClock
from services.chassis.errors import InvalidInput, NotFound
from services.chassis.ids import SequentialIds
from services.notifier.adapters.memory_store import MemoryStore
from services.notifier.app.channels import ChannelDesk
from services.notifier.domain.channel import Channel
from services.notifier.domain.delivery import State
from services.notifier.domain.settings import Email
from tests.contract.notifier.samples import NOW, a_delivery
from tests.unit.notifier.test_courier import FakeSinks, dislikes_the_first, is_down, takes

MAIL = Channel("mail", Email("localhost", 587, "x@example.org", ("a@example.org", "b@example.org")))


def desk(store: MemoryStore, sinks: FakeSinks) -> ChannelDesk:
    return ChannelDesk(store, sinks, {"known.Event"}, SequentialIds(""), FakeClock(NOW))


async def test_removing_a_channel_ends_what_was_on_its_way_and_says_why() -> None:
    store = MemoryStore()
    waiting = a_delivery(channel="mail")
    store.books.by_id = {waiting.delivery_id: waiting}
    keeper = desk(store, FakeSinks())
    await keeper.create(MAIL)
    await keeper.delete("mail")
    ended = store.books.by_id[waiting.delivery_id]
    assert (ended.state, ended.detail) == (State.FAILED, "The channel was removed.")
    with pytest.raises(NotFound):
        await keeper.delete("mail")


async def test_a_channel_for_unknown_events_is_not_made() -> None:
    store = MemoryStore()
    with pytest.raises(InvalidInput, match=r"no\.Event"):
        await desk(store, FakeSinks()).create(replace(MAIL, event_types=("no.Event",)))
    assert store.books.by_name == {}


async def test_a_test_tells_every_recipient_and_keeps_the_record() -> None:
    store, sinks = MemoryStore(), FakeSinks(mail=takes)
    keeper = desk(store, sinks)
    await keeper.create(MAIL)
    answer = await keeper.test("mail")
    assert answer.state is State.DELIVERED
    assert [each.recipient for each in store.books.by_id.values()] == ["a@example.org", "b@example.org"]
    assert store.books.announced == []


async def test_a_test_of_a_dead_peer_asks_it_once_and_leaves_nothing_to_carry() -> None:
    store, sinks = MemoryStore(), FakeSinks(mail=is_down)
    keeper = desk(store, sinks)
    await keeper.create(MAIL)
    answer = await keeper.test("mail")
    assert (answer.state, answer.detail) == (State.FAILED, "The peer is down. Start it.")
    assert len(sinks.tried) == 1
    assert [each.state for each in store.books.by_id.values()] == [State.FAILED, State.FAILED]


async def test_a_test_shows_the_recipient_who_was_refused() -> None:
    store, sinks = MemoryStore(), FakeSinks(mail=dislikes_the_first)
    keeper = ChannelDesk(store, sinks, (), Numbers(), FakeClock(NOW))
    await keeper.create(MAIL)
    answer = await keeper.test("mail")
    assert (answer.state, answer.recipient, answer.detail) == (
        State.FAILED,
        "a@example.org",
        "Come back later.",
    )


class Numbers:
    """Ids "0", "1", "2": the event's, then the deliveries'."""

    def __init__(self) -> None:
        self._made = -1

    def new(self) -> str:
        self._made += 1
        return str(self._made)
