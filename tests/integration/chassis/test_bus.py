import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message
from nats.errors import Error as NatsError
from nats.js import api
from xenkeep.catalog.v1.events_pb2 import RestorePointRemoved, RestorePointVerified
from xenkeep.common.v1.bus_pb2 import MessageDeadLettered

from services.chassis.bus import cloudevents, subjects
from services.chassis.bus.cloudevents import Meta
from services.chassis.bus.consumer import Consumer
from services.chassis.bus.nats_bus import Bus
from services.chassis.bus.outbox import Outbox
from services.chassis.bus.pull import Pull
from services.chassis.bus.redelivery import Redelivery
from services.chassis.bus.subscribe import tail
from services.chassis.bus.work import Outcome, Workers, WorkQueue
from services.chassis.clock import FakeClock, SystemClock
from services.chassis.errors import InvalidInput, ResourceExhausted, Unavailable, XenkeepError
from services.chassis.sql import Database, Transaction
from services.chassis.tls import TlsFiles
from tests.support.nats import NatsServer
from tests.support.notes import MIGRATIONS, note, notes, removed, store
from tests.support.waiting import PATIENCE_S, until

QUICK = Redelivery(max_deliveries=3, first_pause_s=0.01, longest_pause_s=0.02)


@asynccontextmanager
async def running(work: Any) -> AsyncIterator[asyncio.Task[None]]:
    """A task for as long as the block lasts; what it raises, the block raises."""
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with store(tmp_path) as made:
        await made.migrate(MIGRATIONS)
        yield made


async def publish(database: Database, *names: str) -> None:
    for name in names:
        async with database.begin() as tx:
            await tx.publish(removed(name), subject_id=f"restorePoints/{name}")


async def stored(bus: Bus, stream: str) -> int:
    return int((await bus.js.stream_info(stream)).state.messages)


class Notebook:
    """A handler that writes events down, and can be waited for."""

    def __init__(
        self, database: Database, fail: Callable[[str, Meta], None] = lambda name, meta: None
    ) -> None:
        self._database = database
        self._fail = fail
        self._changed = asyncio.Event()
        self.calls: list[tuple[str, int]] = []

    async def __call__(self, tx: Transaction, event: Message, meta: Meta) -> None:
        name = event.restore_point.partition("/")[2]  # type: ignore[attr-defined]
        self.calls.append((name, meta.deliveries))
        self._changed.set()
        await note(tx, name)
        self._fail(name, meta)

    async def until(self, *expected: str) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while await self.written() != list(expected):
                self._changed.clear()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), 0.1)

    async def written(self) -> list[str]:
        async with self._database.read() as look:
            return await notes(look)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_events_travel_in_order_from_a_transaction_to_a_handler(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path, nats_server: NatsServer
) -> None:
    names = [f"p{n}" for n in range(10)]
    async with AsyncExitStack() as stack:
        database = store(tmp_path) if kind == "sqlite" else postgres(request, tmp_path)
        await stack.enter_async_context(database)
        await database.migrate(MIGRATIONS)
        bus = await stack.enter_async_context(nats_server.bus())
        seen = Notebook(database)
        consumer = Consumer(bus, database, "catalog", {RestorePointRemoved: seen})
        async with running(Outbox(database, bus).run()), running(consumer.run()):
            await publish(database, *names)
            await seen.until(*names)
        assert await stored(bus, subjects.EVENTS) == len(names)
        replayed = Consumer(bus, database, "catalog", {RestorePointRemoved: seen})
        await bus.js.delete_consumer(subjects.EVENTS, "catalog")
        async with running(replayed.run()):
            await publish(database, "last")
            await Outbox(database, bus).flush()
            await seen.until(*names, "last")


async def test_a_question_can_wait_for_what_was_told_before_it(
    database: Database, nats_server: NatsServer
) -> None:
    seen = Notebook(database)
    held = asyncio.Event()

    async def slowly(tx: Transaction, event: Message, meta: Meta) -> None:
        await held.wait()
        await seen(tx, event, meta)

    async with nats_server.bus() as bus:
        consumer = Consumer(bus, database, "catalog", {RestorePointRemoved: slowly})
        assert await consumer.caught_up(0), "nothing was ever told"
        await publish(database, "one", "two")
        await Outbox(database, bus).flush()
        assert not await consumer.caught_up(0), "the consumer is not made yet"
        async with running(consumer.run()):
            assert not await consumer.caught_up(0), "the first is held"
            question = asyncio.create_task(consumer.caught_up(PATIENCE_S))
            held.set()
            assert await question
            assert ["one", "two"] == await seen.written()
        async with database.begin() as tx:
            await tx.publish(RestorePointVerified(), subject_id="restorePoints/other")
        await Outbox(database, bus).flush()
        assert await consumer.caught_up(0), "others' events are not waited for"
        await bus.js.delete_stream(subjects.EVENTS)
        with pytest.raises(Unavailable):
            await consumer.caught_up(0)


def postgres(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    return Database(request.getfixturevalue("postgres_url"), f"bus-{abs(hash(str(tmp_path)))}")


async def test_an_event_is_a_cloudevent_that_plain_json_tools_can_read(
    nats_server: NatsServer, database: Database
) -> None:
    async with nats_server.bus() as bus:
        async with database.begin() as tx:
            event_id = await tx.publish(removed("pé 1"), subject_id="restorePoints/pé 1")
        await Outbox(database, bus).flush()
        raw = await bus.js.get_msg(subjects.EVENTS, 1)
    assert raw.subject == "xenkeep.catalog.v1.RestorePointRemoved"
    assert json.loads(raw.data or b"") == {"restorePoint": "restorePoints/pé 1"}
    headers = raw.headers or {}
    assert headers["ce-specversion"] == "1.0"
    assert headers["ce-id"] == headers["Nats-Msg-Id"] == event_id
    assert headers["ce-type"] == raw.subject
    assert headers["ce-source"] == "xenkeep://service/catalog"
    assert headers["ce-subject"] == "restorePoints/p%C3%A9%201"
    assert headers["ce-datacontenttype"] == "application/json"
    assert cloudevents.meta_of(headers).subject == "restorePoints/pé 1"


@pytest.mark.scenario(47)
async def test_a_redelivery_after_the_commit_is_not_applied_twice(
    nats_server: NatsServer, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = Notebook(database)
    lost = asyncio.Event()
    confirm = Bus.acknowledge

    async def lose_the_first(bus: Bus, message: Any) -> None:
        if lost.is_set():
            return await confirm(bus, message)
        lost.set()
        await message.nak()  # what JetStream does by itself when ack_wait has passed
        return None

    monkeypatch.setattr(Bus, "acknowledge", lose_the_first)
    async with nats_server.bus() as bus:
        consumer = Consumer(bus, database, "catalog", {RestorePointRemoved: seen})
        async with running(Outbox(database, bus).run()), running(consumer.run()):
            await publish(database, "p1", "p2")
            await seen.until("p1", "p2")
    assert seen.calls == [("p1", 1), ("p2", 1)]


async def test_a_failing_event_is_tried_again_and_its_half_done_effects_are_undone(
    nats_server: NatsServer, database: Database
) -> None:
    def twice(name: str, meta: Meta) -> None:
        if name == "p1" and meta.deliveries < 3:
            raise RuntimeError("not yet")

    seen = Notebook(database, twice)
    async with nats_server.bus() as bus:
        consumer = Consumer(bus, database, "catalog", {RestorePointRemoved: seen}, redelivery=QUICK)
        async with running(Outbox(database, bus).run()), running(consumer.run()):
            await publish(database, "p1", "p2")
            await seen.until("p1", "p2")
        assert await stored(bus, subjects.DEAD) == 0
    assert seen.calls == [("p1", 1), ("p1", 2), ("p1", 3), ("p2", 1)]


async def test_a_poison_event_is_set_aside_with_the_reason_and_announced_and_the_rest_goes_on(
    nats_server: NatsServer, database: Database
) -> None:
    def poison(name: str, meta: Meta) -> None:
        if name == "poison":
            raise InvalidInput("It is poison.", reason="POISONED")

    seen = Notebook(database, poison)
    async with nats_server.bus() as bus:
        consumer = Consumer(bus, database, "catalog", {RestorePointRemoved: seen}, redelivery=QUICK)
        async with running(Outbox(database, bus).run()), running(consumer.run()):
            await publish(database, "poison", "p2")
            await seen.until("p2")
        (dead,) = [await bus.js.get_msg(subjects.DEAD, 1)]
        announced = await bus.js.get_last_msg(subjects.EVENTS, subjects.of_event(MessageDeadLettered))
    assert [name for name, _ in seen.calls] == ["poison"] * 3 + ["p2"]
    assert dead.subject == "xenkeep.dead.catalog"
    assert (dead.headers or {})["xenkeep-dead-reason"] == "POISONED"
    assert json.loads(dead.data or b"") == {"restorePoint": "restorePoints/poison"}
    event = cloudevents.unwrap(MessageDeadLettered, announced.data or b"")
    assert (event.reason, event.consumer, event.deliveries) == ("POISONED", "catalog", 3)
    assert event.message_id == (dead.headers or {})["ce-id"]


async def test_what_cannot_be_read_is_set_aside_at_once(nats_server: NatsServer, database: Database) -> None:
    seen = Notebook(database)
    subject = subjects.of_event(RestorePointRemoved)
    good = cloudevents.wrap(
        removed("p1"), id="1", source="xenkeep://service/x", subject_id="", time=FakeClock().now()
    ).headers
    async with nats_server.bus() as bus:
        await bus.publish(subject, b"not json", good, "a")
        await bus.publish(subject, b'{"restorePoint":"p1"}', {}, "b")
        await bus.publish(subject, b"\xff\xfe", good, "c")
        await bus.publish(subject, b"[" * 100_000, good, "d")
        consumer = Consumer(bus, database, "catalog", {RestorePointRemoved: seen}, redelivery=QUICK)
        async with running(Outbox(database, bus).run()), running(consumer.run()):
            await publish(database, "p2")
            await seen.until("p2")
        reasons = [
            ((await bus.js.get_msg(subjects.DEAD, n)).headers or {})["xenkeep-dead-reason"]
            for n in (1, 2, 3, 4)
        ]
    assert reasons == ["MESSAGE_UNREADABLE", "NOT_A_CLOUDEVENT", "MESSAGE_UNREADABLE", "MESSAGE_UNREADABLE"]
    assert seen.calls == [("p2", 1)]


@pytest.mark.parametrize("kind", [Unavailable, ResourceExhausted])
async def test_an_event_waits_in_place_while_something_is_unavailable(
    kind: type[XenkeepError], nats_server: NatsServer, database: Database
) -> None:
    troubles = iter(range(20))

    def unavailable(name: str, meta: Meta) -> None:
        if next(troubles, None) is not None:
            raise kind("The store is away or full.", reason="AWAY")

    seen = Notebook(database, unavailable)
    async with nats_server.bus() as bus:
        consumer = Consumer(bus, database, "catalog", {RestorePointRemoved: seen}, redelivery=QUICK)
        async with running(Outbox(database, bus).run()), running(consumer.run()):
            await publish(database, "p1")
            await seen.until("p1")
        assert await stored(bus, subjects.DEAD) == 0
    assert seen.calls == [("p1", 1)] * 21


@pytest.mark.scenario(47)
@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_nats_can_be_restarted_in_the_middle(
    nats_server: NatsServer, database: Database, how: str
) -> None:
    seen = Notebook(database)
    async with nats_server.bus() as bus:
        consumer = Consumer(bus, database, "catalog", {RestorePointRemoved: seen})
        async with running(Outbox(database, bus).run()), running(consumer.run()):
            await publish(database, "p1")
            await seen.until("p1")
            getattr(nats_server, how)()
            await publish(database, "p2", "p3")
            nats_server.start()
            await publish(database, "p4")
            await seen.until("p1", "p2", "p3", "p4")
        assert await stored(bus, subjects.EVENTS) == 4


@pytest.mark.scenario(47)
async def test_a_service_waits_for_a_bus_that_comes_later(nats_server: NatsServer) -> None:
    nats_server.stop()
    bus = nats_server.bus()
    connecting = asyncio.create_task(bus.__aenter__())
    done, _ = await asyncio.wait({connecting}, timeout=0.3)
    assert not done
    nats_server.start()
    async with asyncio.timeout(PATIENCE_S):
        await connecting
    assert bus.connected.is_set()
    await bus.__aexit__()


async def test_only_certificates_of_our_authority_reach_the_bus(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    from tests.support.pki import tls_for

    ours = nats_server.tls("catalog")
    theirs = tls_for(tmp_path / "elsewhere", "catalog")
    for tls in (theirs, TlsFiles(ours.ca, theirs.cert, theirs.key)):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1), Bus([nats_server.url], tls, "catalog"):
                pass


async def test_a_bus_without_tls_is_never_spoken_to(tmp_path: Path) -> None:
    from tests.support.pki import tls_for

    heard = bytearray()

    async def plain_nats(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"server_id":"x","version":"2.11.0","max_payload":1048576,"headers":true}\r\n')
        while chunk := await reader.read(4096):
            heard.extend(chunk)
        writer.close()

    server = await asyncio.start_server(plain_nats, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(TimeoutError):
        async with (
            asyncio.timeout(1),
            Bus([f"nats://127.0.0.1:{port}"], tls_for(tmp_path, "catalog"), "catalog"),
        ):
            pass
    server.close()
    assert b"CONNECT" not in heard


async def test_work_is_done_once_and_given_back_when_unavailable(
    nats_server: NatsServer, database: Database
) -> None:
    seen: list[tuple[str, int]] = []

    async def handle(work: RestorePointRemoved, meta: Meta) -> None:
        seen.append((work.restore_point, meta.deliveries))
        if len(seen) == 1:
            raise Unavailable("The pool is away.", reason="POOL_AWAY")

    async with nats_server.bus() as bus:
        async with database.begin() as tx:
            await tx.enqueue(removed("w1"), site="berlin", kind="transfer")
            await tx.enqueue(removed("other"), site="berlin", kind="verify")
        await Outbox(database, bus).flush()
        queue = WorkQueue(bus, "berlin", "transfer", RestorePointRemoved, redelivery=QUICK)
        assert await queue.take(handle) is Outcome.RETRIED
        assert await queue.take(handle) is Outcome.DONE
        await queue.close()
        assert await stored(bus, subjects.WORK) == 1
    assert seen == [("restorePoints/w1", 1), ("restorePoints/w1", 2)]


async def test_work_that_takes_longer_than_the_lease_is_not_given_to_another(
    nats_server: NatsServer, database: Database
) -> None:
    taken: list[str] = []
    async with nats_server.bus() as bus:
        queues = [WorkQueue(bus, "berlin", "transfer", RestorePointRemoved, lease_s=3) for _ in range(2)]
        neglectful = api.ConsumerConfig(
            durable_name="neglectful",
            filter_subject=subjects.of_work("berlin", "verify"),
            ack_policy=api.AckPolicy.EXPLICIT,
            ack_wait=3,
        )

        async def slow(work: RestorePointRemoved, meta: Meta) -> None:
            """Until work that was taken later and nobody keeps has been given to another."""
            taken.append(work.restore_point)
            async with Pull(bus, subjects.WORK, lambda _: neglectful, SystemClock()) as neglected:
                while (await neglected.next()).metadata.num_delivered == 1:
                    pass

        async with database.begin() as tx:
            await tx.enqueue(removed("w1"), site="berlin", kind="transfer")
            await tx.enqueue(removed("neglected"), site="berlin", kind="verify")
        await Outbox(database, bus).flush()
        first = asyncio.create_task(queues[0].take(slow))
        second = asyncio.create_task(queues[1].take(slow))
        done, waiting = await asyncio.wait({first, second}, return_when=asyncio.FIRST_COMPLETED)
        assert [task.result() for task in done] == [Outcome.DONE]
        for task in waiting:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        for queue in queues:
            await queue.close()
    assert taken == ["restorePoints/w1"]


async def test_work_whose_worker_is_stopped_is_taken_up_by_another_at_once(
    nats_server: NatsServer, database: Database
) -> None:
    begun, deliveries = asyncio.Event(), []

    async def endless(work: RestorePointRemoved, meta: Meta) -> None:
        begun.set()
        await asyncio.Event().wait()

    async def finish(work: RestorePointRemoved, meta: Meta) -> None:
        deliveries.append(meta.deliveries)

    async with nats_server.bus() as bus, nats_server.bus() as another:
        async with database.begin() as tx:
            await tx.enqueue(removed("w1"), site="berlin", kind="transfer")
        await Outbox(database, bus).flush()
        stopped, heir = (
            WorkQueue(each, "berlin", "transfer", RestorePointRemoved, lease_s=300) for each in (bus, another)
        )
        async with Workers(stopped, endless, 2), running(Workers(stopped, endless, 2).run()):
            await begun.wait()
        async with asyncio.timeout(20):
            assert await heir.take(finish) is Outcome.DONE
        await heir.close()
    assert len(deliveries) == 1


async def test_work_that_was_on_its_way_to_a_stopped_worker_is_taken_up_by_another_at_once(
    nats_server: NatsServer, database: Database
) -> None:
    config = api.ConsumerConfig(
        durable_name="workers",
        filter_subject=subjects.of_work("berlin", "transfer"),
        ack_policy=api.AckPolicy.EXPLICIT,
        ack_wait=300,
    )

    async with nats_server.bus() as bus, nats_server.bus() as another:

        async def consumer(wanted: Callable[[api.ConsumerInfo], bool]) -> None:
            async def looked() -> bool:
                return wanted(await bus.js.consumer_info(subjects.WORK, "workers"))

            await until(looked)

        await bus.js.add_consumer(subjects.WORK, config)
        stopped, heir = (
            Pull(each, subjects.WORK, lambda _: config, SystemClock()) for each in (bus, another)
        )
        asking = asyncio.create_task(stopped.next())
        await consumer(lambda info: info.num_waiting == 1)
        asking.cancel()
        await asyncio.wait({asking})
        async with database.begin() as tx:
            await tx.enqueue(removed("w1"), site="berlin", kind="transfer")
        await Outbox(database, another).flush()
        await consumer(lambda info: info.num_ack_pending == 1)
        await stopped.__aexit__()
        async with heir, asyncio.timeout(20):
            message = await heir.next()
    assert message.metadata.num_delivered == 2


async def test_a_worker_that_cannot_reach_the_bus_for_a_lease_stops_and_says_so(
    nats_server: NatsServer, database: Database
) -> None:
    stopped = asyncio.Event()

    async def endless(work: RestorePointRemoved, meta: Meta) -> None:
        nats_server.kill()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    async with nats_server.bus() as bus:
        async with database.begin() as tx:
            await tx.enqueue(removed("w1"), site="berlin", kind="transfer")
        await Outbox(database, bus).flush()
        queue = WorkQueue(bus, "berlin", "transfer", RestorePointRemoved, lease_s=0.5, redelivery=QUICK)
        assert await queue.take(endless) is Outcome.RETRIED
        assert stopped.is_set()
        nats_server.start()
        again: list[str] = []

        async def finish(work: RestorePointRemoved, meta: Meta) -> None:
            again.append(work.restore_point)

        async with asyncio.timeout(PATIENCE_S):
            assert await queue.take(finish) is Outcome.DONE
        await queue.close()
    assert again == ["restorePoints/w1"]


async def test_poisonous_work_is_set_aside(nats_server: NatsServer, database: Database) -> None:
    async def refuse(work: RestorePointRemoved, meta: Meta) -> None:
        raise InvalidInput("No such site.", reason="SITE_UNKNOWN")

    async with nats_server.bus() as bus:
        async with database.begin() as tx:
            await tx.enqueue(removed("w1"), site="berlin", kind="transfer")
        await Outbox(database, bus).flush()
        queue = WorkQueue(bus, "berlin", "transfer", RestorePointRemoved, redelivery=QUICK)
        assert await queue.take(refuse) is Outcome.DEAD
        await queue.close()
        assert await stored(bus, subjects.WORK) == 0
        assert (await bus.js.get_msg(subjects.DEAD, 1)).subject == "xenkeep.dead.work-berlin-transfer"


async def _is_followed(bus: Bus) -> bool:
    return (await bus.js.stream_info(subjects.EVENTS)).state.consumer_count > 0


async def test_a_tail_sees_wanted_events_from_now_on_and_outlives_a_restart(
    nats_server: NatsServer, database: Database
) -> None:
    async with nats_server.bus() as bus:
        await publish(database, "before")
        await Outbox(database, bus).flush()
        async with running(Outbox(database, bus).run()):

            def wanted(event: RestorePointRemoved, meta: Meta) -> bool:
                return "skip" not in event.restore_point

            async with aclosing(
                tail(bus, [RestorePointRemoved, RestorePointVerified], wanted=wanted)
            ) as events:
                first = asyncio.ensure_future(anext(events))
                await until(partial(_is_followed, bus))
                await publish(database, "skip", "a")
                assert (await first)[0] == removed("a")
                nats_server.kill()
                nats_server.start()
                await publish(database, "b")
                async with asyncio.timeout(PATIENCE_S):
                    assert (await anext(events))[0] == removed("b")


async def test_an_operators_settings_of_a_stream_are_kept(nats_server: NatsServer) -> None:
    async with nats_server.bus() as bus:
        config = (await bus.js.stream_info(subjects.EVENTS)).config
        config.max_age = 7 * 86400.0
        config.subjects = ["xenkeep.catalog.v1.>"]
        await bus.js.update_stream(config)
    async with nats_server.bus() as bus:
        kept = (await bus.js.stream_info(subjects.EVENTS)).config
    assert kept.max_age == 7 * 86400.0
    assert set(subjects.STREAM_SUBJECTS[subjects.EVENTS]) <= set(kept.subjects or ())


async def test_publishing_without_a_connection_is_unavailable(nats_server: NatsServer) -> None:
    async with nats_server.bus() as bus:
        nats_server.kill()
        with pytest.raises(Unavailable) as caught:
            await bus.publish("xenkeep.catalog.v1.X", b"{}", {}, "1")
        assert caught.value.reason == "BUS_UNAVAILABLE"
        with suppress(NatsError):
            nats_server.start()
