"""Reacting to facts: each once, in order, its effects and the memory of it in one transaction."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

import structlog
from google.protobuf.message import Message
from nats.aio.msg import Msg
from nats.js import api
from opentelemetry import propagate, trace
from opentelemetry.trace import SpanKind

from services.chassis.bus import cloudevents, inbox, subjects
from services.chassis.bus.cloudevents import Meta
from services.chassis.bus.dead import describe, set_aside
from services.chassis.bus.lease import while_held
from services.chassis.bus.nats_bus import Bus
from services.chassis.bus.pull import Pull
from services.chassis.bus.redelivery import WAITING, Redelivery
from services.chassis.clock import Clock, SystemClock
from services.chassis.errors import InvalidInput, Unavailable, XenkeepError
from services.chassis.metrics import CONSUMED
from services.chassis.sql import Database, Transaction

Handler = Callable[[Transaction, Any, Meta], Awaitable[None]]
"""``handler(tx, event, meta)``. It changes the store through ``tx`` and calls nobody: it holds the writer's
place.
"""
LEASE_S = 10.0
"""Also how long order makes everybody wait when NATS was killed and forgot an acknowledgement."""
FORGET_EVERY = 1000
LOOK_EVERY_S = 0.5
"""Another process of the service may be the one that handles what is waited for."""
HOPELESS = frozenset({"NOT_A_CLOUDEVENT", "MESSAGE_UNREADABLE", "WORKER_DIED"})
_log = structlog.get_logger("xenkeep.consumer")
_tracer = trace.get_tracer("xenkeep.bus")


class Consumer:
    """The durable consumer ``name`` (the service's) and its literal table of handlers.

    An event that fails is tried again up to ``redelivery.max_deliveries`` times and then set aside (see
    ``dead``); one that cannot be read is set aside at once. While the store is away or full the event waits
    and does not count. Started more than once, the processes share the consumer; order is kept across them,
    one event being out at a time.
    """

    def __init__(
        self,
        bus: Bus,
        database: Database,
        name: str,
        handlers: Mapping[type[Message], Handler],
        *,
        redelivery: Redelivery | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._bus = bus
        self._database = database
        self._name = subjects.token(name)
        self._types = {kind.DESCRIPTOR.full_name: (kind, handler) for kind, handler in handlers.items()}
        self._subjects = sorted(subjects.of_event(kind) for kind in handlers)
        self._redelivery = redelivery or Redelivery()
        self._clock = clock or SystemClock()
        self._handled = asyncio.Event()

    async def caught_up(self, patience_s: float) -> bool:
        """Whether, within ``patience_s``, all events published before this question have been handled.

        Raises Unavailable BUS_UNAVAILABLE when JetStream cannot be asked.
        """
        give_up = self._clock.monotonic() + patience_s
        newest: int | None = None
        while True:
            self._handled.clear()
            place = await self._bus.place(subjects.EVENTS, self._name)
            newest = place.newest if newest is None else newest
            if place.handled >= newest:
                return True
            if (left := give_up - self._clock.monotonic()) <= 0:
                return False
            with suppress(TimeoutError):
                async with asyncio.timeout(min(left, LOOK_EVERY_S)):
                    await self._handled.wait()

    async def run(self) -> None:
        """Consume for ever; returns only by cancellation, or Unavailable when the bus was closed."""
        config = api.ConsumerConfig(
            durable_name=self._name,
            filter_subjects=self._subjects,
            ack_policy=api.AckPolicy.EXPLICIT,
            ack_wait=LEASE_S,
            max_deliver=-1,
            max_ack_pending=1,
        )
        await self._forget_old()
        handled = 0
        async with Pull(self._bus, subjects.EVENTS, lambda _: config, self._clock) as pull:
            while True:
                message = await pull.next()
                outcome = await self._take(message)
                CONSUMED.labels(self._name, outcome).inc()
                self._handled.set()
                handled += 1
                if handled % FORGET_EVERY == 0:
                    await self._forget_old()

    async def _forget_old(self) -> None:
        try:
            await inbox.forget_old(self._database, self._clock.now())
        except WAITING as error:  # rows that stay longer do no harm; the next round removes them
            _log.warning("inbox not cleared", consumer=self._name, reason=error.reason, detail=str(error))

    async def _take(self, message: Msg) -> str:
        deliveries = message.metadata.num_delivered
        try:
            self._redelivery.check_worker_survives(deliveries)
            outcome = await while_held(
                self._bus, message, LEASE_S, self._clock, self._apply(message, deliveries)
            )
        except asyncio.CancelledError:
            await self._bus.give_back(message)
            raise
        except Exception as error:  # noqa: BLE001 - the boundary: a failure becomes a retry or a dead letter
            return await self._failed(message, deliveries, error)
        await self._bus.acknowledge(message)
        return outcome

    async def _failed(self, message: Msg, deliveries: int, error: Exception) -> str:
        reason, detail = describe(error)
        if not isinstance(error, XenkeepError):
            _log.error("handler failed", consumer=self._name, subject=message.subject, exc_info=error)
        if reason in HOPELESS or self._redelivery.is_final(error, deliveries):
            try:
                await set_aside(self._bus, message, self._name, error, self._clock)
                return "dead"
            except Unavailable as trouble:
                reason, detail = describe(trouble)
        pause = self._redelivery.pause(deliveries)
        _log.warning("event comes again", subject=message.subject, reason=reason, detail=detail, in_s=pause)
        await self._bus.give_back(message, pause)
        return "retried"

    async def _apply(self, message: Msg, deliveries: int) -> str:
        meta = cloudevents.meta_of(message.headers, deliveries)
        if meta.type not in self._types:
            raise InvalidInput(f"{meta.type} is not on our table.", reason="MESSAGE_UNREADABLE")
        kind, handler = self._types[meta.type]
        event = cloudevents.unwrap(kind, message.data)
        failures = 0
        with _tracer.start_as_current_span(
            f"{meta.type} process",
            context=propagate.extract(dict(meta.trace)),
            kind=SpanKind.CONSUMER,
            attributes={"messaging.system": "nats", "messaging.message.id": meta.id},
        ):
            while True:
                try:
                    return await self._once(handler, event, meta)
                except WAITING as error:
                    failures += 1
                    pause = self._redelivery.pause(failures)
                    _log.warning(
                        "event waits", type=meta.type, reason=error.reason, detail=str(error), in_s=pause
                    )
                    await self._clock.sleep(pause)

    async def _once(self, handler: Handler, event: Message, meta: Meta) -> str:
        async with self._database.begin() as tx:
            if not await inbox.first_time(tx, self._name, meta.id, self._clock.now()):
                return "duplicate"
            await handler(tx, event, meta)
        return "handled"
