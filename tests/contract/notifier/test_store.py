"""The law of `Store`, on the fake and on the database the service uses."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from services.chassis.errors import AlreadyExists, InvalidInput, NotFound
from services.chassis.sql import Database
from services.notifier.adapters.memory_store import MemoryStore
from services.notifier.adapters.sql_store import SqlStore
from services.notifier.domain.channel import Channel
from services.notifier.domain.delivery import Delivery, Receipt, State
from services.notifier.domain.notification import Severity
from services.notifier.domain.settings import Email, Settings, Sms, SmsTransport, Syslog, SyslogTransport
from services.notifier.ports import Store
from tests.contract.notifier.samples import NOW, a_delivery, a_notification

MINUTE = timedelta(minutes=1)
SETTINGS: list[Settings] = [
    Syslog("log.example.org", 6514, SyslogTransport.TLS, "ca.pem"),
    Email("mail.example.org", 587, "x@example.org", ("a@example.org", "b@example.org"), "keeper", "password"),
    Sms("sms.example.org", 2775, SmsTransport.TCP, "keeper", "password", "", ("+4915112345678",)),
]


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
async def store(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    if request.param == "memory":
        yield MemoryStore()
        return
    url = f"sqlite+aiosqlite:///{tmp_path}/notifier.sqlite"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_url")
    async with Database(url, f"notifier-{uuid4().hex}") as database:
        await database.migrate("services.notifier.migrations")
        yield SqlStore(database)


def of_event(number: int, *, channel: str = "operators", due: timedelta = timedelta(0)) -> Delivery:
    notification = replace(a_notification(), event_id=f"event-{number}")
    delivery = a_delivery(
        "admin@example.org", notification, delivery_id=f"delivery-{number}", channel=channel
    )
    return replace(delivery, create_time=NOW + number * MINUTE, next_attempt_time=NOW + due)


async def add(store: Store, *deliveries: Delivery) -> None:
    async with store.begin() as books:
        for delivery in deliveries:
            await books.add(delivery)


@pytest.mark.parametrize("settings", SETTINGS)
async def test_a_channel_reads_back_as_it_was_written(store: Store, settings: Settings) -> None:
    channel = Channel("operators", settings, Severity.WARNING, ("xenkeep.scheduler.v1.RunFailed",))
    async with store.begin() as books:
        await books.add_channel(channel, NOW)
    async with store.read() as look:
        assert await look.channels() == [channel]
        assert await look.channel("operators") == channel


async def test_a_second_channel_of_a_name_is_refused_and_changes_nothing(store: Store) -> None:
    async with store.begin() as books:
        await books.add_channel(Channel("operators", SETTINGS[0]), NOW)
    with pytest.raises(AlreadyExists):
        async with store.begin() as books:
            await books.add_channel(Channel("operators", SETTINGS[1]), NOW)
    async with store.read() as look:
        assert (await look.channel("operators")).settings == SETTINGS[0]


async def test_a_removed_channel_is_gone(store: Store) -> None:
    async with store.begin() as books:
        await books.add_channel(Channel("operators", SETTINGS[0]), NOW)
        await books.remove_channel("operators")
    with pytest.raises(NotFound):
        async with store.begin() as books:
            await books.remove_channel("operators")
    with pytest.raises(NotFound, match="operators"):
        async with store.read() as look:
            await look.channel("operators")


async def test_a_delivery_reads_back_as_it_was_written(store: Store) -> None:
    delivery = of_event(1).refused("The server was tired.", NOW, final=False)
    await add(store, delivery)
    async with store.read() as look:
        assert await look.page("", 10, "") == [delivery]


async def test_an_event_told_twice_makes_one_delivery_per_recipient(store: Store) -> None:
    other = replace(of_event(1), delivery_id="delivery-other", recipient="b@example.org")
    await add(store, of_event(1), replace(of_event(1), delivery_id="delivery-again"), other)
    async with store.read() as look:
        assert {each.delivery_id for each in await look.page("", 10, "")} == {"delivery-1", "delivery-other"}


async def test_a_claim_holds_others_off_until_it_runs_out(store: Store) -> None:
    await add(store, of_event(1), of_event(2), of_event(3, due=MINUTE))
    async with store.begin() as books:
        first = await books.claim("operators", NOW, NOW + 2 * MINUTE)
        second = await books.claim("operators", NOW, NOW + 2 * MINUTE)
        assert await books.claim("operators", NOW, NOW + 2 * MINUTE) is None
        assert await books.due("operators", NOW) == []
        assert await books.schedule() == [("operators", NOW + MINUTE)]
        late = NOW + 2 * MINUTE
        assert [each.delivery_id for each in await books.due("operators", late)] == [
            "delivery-1",
            "delivery-2",
            "delivery-3",
        ]
    assert first is not None and second is not None
    assert [first.delivery_id, second.delivery_id] == ["delivery-1", "delivery-2"]


async def test_a_claim_can_be_kept_longer_while_the_delivery_is_pending(store: Store) -> None:
    await add(store, of_event(1))
    async with store.begin() as books:
        claimed = await books.claim("operators", NOW, NOW + MINUTE)
        assert claimed is not None
        await books.extend("delivery-1", NOW + 3 * MINUTE)
        assert await books.schedule() == [("operators", NOW + 3 * MINUTE)]
        await books.save(claimed.delivered(Receipt(True, "ok"), NOW))
        await books.extend("delivery-1", NOW + 5 * MINUTE)
        assert await books.schedule() == []


async def test_saving_ends_the_claim_and_an_end_is_final(store: Store) -> None:
    await add(store, of_event(1))
    async with store.begin() as books:
        claimed = await books.claim("operators", NOW, NOW + MINUTE)
        assert claimed is not None
        await books.save(claimed.refused("tired", NOW, final=False))
        assert await books.schedule() == [("operators", NOW + timedelta(seconds=15))]
        await books.save(claimed.delivered(Receipt(True, "250 OK"), NOW))
        await books.save(claimed.refused("a courier that woke too late", NOW, final=False))
        assert await books.schedule() == []
    async with store.read() as look:
        [delivery] = await look.page("operators", 10, "")
    assert (delivery.state, delivery.confirmed, delivery.detail) == (State.DELIVERED, True, "250 OK")


async def test_what_was_told_of_an_incident_is_known(store: Store) -> None:
    delivery = of_event(1)
    told = delivery.notification
    await add(store, delivery)
    async with store.read() as look:
        assert await look.told_since(told, NOW + MINUTE) is True
        assert await look.told_since(told, NOW + 2 * MINUTE) is False
        assert await look.told_since(replace(told, incident="policies/other"), NOW) is False
        assert (
            await look.told_since(replace(told, event_type="xenkeep.scheduler.v1.RunFinished"), NOW) is False
        )


async def test_pages_go_newest_first_without_gaps(store: Store) -> None:
    await add(store, *(of_event(number) for number in range(7)), of_event(9, channel="others"))
    seen: list[str] = []
    async with store.read() as look:
        while page := await look.page("operators", 3, seen[-1] if seen else ""):
            seen += [each.delivery_id for each in page]
        with pytest.raises(InvalidInput, match="page token"):
            await look.page("", 3, "no-such-delivery")
    assert seen == [f"delivery-{number}" for number in reversed(range(7))]


async def test_only_what_ended_long_ago_is_forgotten(store: Store) -> None:
    await add(store, of_event(1), of_event(2).delivered(Receipt(True, "ok"), NOW), of_event(3))
    async with store.begin() as books:
        assert await books.forget(NOW) == 0
        assert await books.forget(NOW + MINUTE) == 1
    async with store.read() as look:
        assert [each.delivery_id for each in await look.page("", 10, "")] == ["delivery-3", "delivery-1"]
