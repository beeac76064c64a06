"""A site's work queue: taken by whoever has room, kept while worked on, given back by whoever dies."""

import asyncio
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Generic, Self, TypeVar

import structlog
from google.protobuf.message import Message
from nats.aio.msg import Msg
from nats.js import api
from opentelemetry import propagate, trace
from opentelemetry.trace import SpanKind

from services.chassis.bus import cloudevents, subjects
from services.chassis.bus.cloudevents import Meta
from services.chassis.bus.dead import describe, set_aside
from services.chassis.bus.lease import while_held
from services.chassis.bus.nats_bus import Bus
from services.chassis.bus.pull import Pull
from services.chassis.bus.redelivery import Redelivery
from services.chassis.clock import Clock, SystemClock
from services.chassis.errors import InvalidInput, Unavailable, XenkeepError
from services.chassis.metrics import CONSUMED

M = TypeVar("M", bound=Message)
LEASE_S = 60.0
LOOK_S = 30.0
"""How soon a worker that was not admitted asks whether it is."""
PATIENT = Redelivery(max_deliveries=5, first_pause_s=1.0, longest_pause_s=300.0)
_log = structlog.get_logger("xenkeep.work")
_tracer = trace.get_tracer("xenkeep.bus")


class Outcome(Enum):
    """What became of a piece of work."""

    DONE = "done"
    RETRIED = "retried"
    DEAD = "dead"


class WorkQueue(Generic[M]):
    """Work of one ``kind`` for one ``site``.

    Acknowledged when the handler returns; given back, to be taken again after a pause, when it raises; set
    aside when it raises InvalidInput, cannot be read, or came too often (``Redelivery``). The same work
    may be handled twice, even at once after a network was cut: handlers are idempotent.
    """

    def __init__(
        self,
        bus: Bus,
        site: str,
        kind: str,
        message_type: type[M],
        *,
        redelivery: Redelivery | None = None,
        clock: Clock | None = None,
        lease_s: float = LEASE_S,
    ) -> None:
        self._bus = bus
        self._type = message_type
        self._name = f"work-{subjects.token(site)}-{subjects.token(kind)}"
        self._redelivery = redelivery or PATIENT
        self._clock = clock or SystemClock()
        self._lease_s = lease_s
        self._config = api.ConsumerConfig(
            durable_name=self._name,
            filter_subject=subjects.of_work(site, kind),
            ack_policy=api.AckPolicy.EXPLICIT,
            ack_wait=lease_s,
            max_deliver=-1,
        )
        self._idle: list[Pull] = []

    async def take(self, handler: Callable[[M, Meta], Awaitable[None]]) -> Outcome:
        """Wait for one piece of work, handle it, say what became of it. May be called by several tasks at
        once.
        """
        pull = self._idle.pop() if self._idle else self._pull()
        try:
            message = await pull.next()
        except BaseException:
            await pull.__aexit__()
            raise
        self._idle.append(pull)
        outcome = await self._work(message, handler)
        CONSUMED.labels(self._name, outcome.value).inc()
        return outcome

    async def close(self) -> None:
        """Stop listening; call when no ``take`` is under way."""
        while self._idle:
            await self._idle.pop().__aexit__()

    def _pull(self) -> Pull:
        return Pull(self._bus, subjects.WORK, lambda _: self._config, self._clock)

    async def _work(self, message: Msg, handler: Callable[[M, Meta], Awaitable[None]]) -> Outcome:
        deliveries = message.metadata.num_delivered
        try:
            self._redelivery.check_worker_survives(deliveries)
            work = self._handle(message, deliveries, handler)
            await while_held(self._bus, message, self._lease_s, self._clock, work)
        except asyncio.CancelledError:
            await self._bus.give_back(message)
            raise
        except Exception as error:  # noqa: BLE001 - the boundary: a failure becomes a retry or a dead letter
            return await self._failed(message, deliveries, error)
        await self._bus.acknowledge(message)
        return Outcome.DONE

    async def _handle(
        self, message: Msg, deliveries: int, handler: Callable[[M, Meta], Awaitable[None]]
    ) -> None:
        meta = cloudevents.meta_of(message.headers, deliveries)
        piece = cloudevents.unwrap(self._type, message.data)
        if meta.type != self._type.DESCRIPTOR.full_name:
            raise InvalidInput(f"{meta.type} is not work of this queue.", reason="MESSAGE_UNREADABLE")
        with _tracer.start_as_current_span(
            f"{meta.type} process",
            context=propagate.extract(dict(meta.trace)),
            kind=SpanKind.CONSUMER,
            attributes={"messaging.system": "nats", "messaging.message.id": meta.id},
        ):
            await handler(piece, meta)

    async def _failed(self, message: Msg, deliveries: int, error: Exception) -> Outcome:
        reason, detail = describe(error)
        if not isinstance(error, XenkeepError):
            _log.error("work failed", queue=self._name, exc_info=error)
        hopeless = isinstance(error, InvalidInput) or reason == "WORKER_DIED"
        if hopeless or self._redelivery.is_final(error, deliveries):
            try:
                await set_aside(self._bus, message, self._name, error, self._clock)
                return Outcome.DEAD
            except Unavailable as trouble:
                reason, detail = describe(trouble)
        pause = self._redelivery.pause(deliveries)
        _log.warning("work comes again", queue=self._name, reason=reason, detail=detail, in_s=pause)
        await self._bus.give_back(message, pause)
        return Outcome.RETRIED


class Workers(Generic[M]):
    """A component: takes up to ``room`` pieces of a queue's work at a time and has ``handler`` do them.

    Where ``admitted()`` says fewer none begins to wait for work while so many wait or work; who waits already
    takes one more piece, what is under way is not given back, and the question is asked again every LOOK_S.
    """

    def __init__(
        self,
        queue: WorkQueue[M],
        handler: Callable[[M, Meta], Awaitable[None]],
        room: int,
        *,
        admitted: Callable[[], int] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._queue = queue
        self._handler = handler
        self._room = room
        self._admitted = admitted or (lambda: room)
        self._clock = clock or SystemClock()
        self._taking = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._queue.close()

    async def run(self) -> None:
        """Work for ever; returns only by cancellation, which gives back what is under way."""
        async with asyncio.TaskGroup() as workers:
            for _ in range(self._room):
                workers.create_task(self._one_after_another())

    async def _one_after_another(self) -> None:
        while True:
            while self._taking >= self._admitted():
                await self._clock.sleep(LOOK_S)
            self._taking += 1
            try:
                await self._queue.take(self._handler)
            finally:
                self._taking -= 1
