"""Watching events go by: nothing durable, nothing acknowledged, gone when the reader goes."""

from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

import structlog
from google.protobuf.message import Message
from nats.js import api

from services.chassis.bus import cloudevents, subjects
from services.chassis.bus.cloudevents import Meta
from services.chassis.bus.nats_bus import Bus
from services.chassis.bus.pull import Pull
from services.chassis.clock import Clock, SystemClock
from services.chassis.errors import InvalidInput

_log = structlog.get_logger("xenkeep.bus")
Wanted = Callable[[Any, Meta], bool]


async def tail(
    bus: Bus,
    types: Iterable[type[Message]],
    *,
    since: datetime | None = None,
    wanted: Wanted = lambda event, meta: True,
    clock: Clock | None = None,
) -> AsyncGenerator[tuple[Any, Meta], None]:
    """Events of ``types`` in order, from ``since`` (or from now), of which ``wanted`` says so; for ever.

    Survives restarts of NATS: it goes on behind the last event seen. What cannot be read is skipped and
    logged. Close it (``contextlib.aclosing``) to release the server's side at once.
    """
    by_name: Mapping[str, type[Message]] = {kind.DESCRIPTOR.full_name: kind for kind in types}
    last_seen = 0 if since else (await bus.js.stream_info(subjects.EVENTS)).state.last_seq

    def config(last_seen: int) -> api.ConsumerConfig:
        first = since is not None and not last_seen
        return api.ConsumerConfig(
            filter_subjects=sorted(subjects.of_event(kind) for kind in by_name.values()),
            deliver_policy=api.DeliverPolicy.BY_START_TIME if first else api.DeliverPolicy.BY_START_SEQUENCE,
            opt_start_time=since if first else None,
            opt_start_seq=None if first else last_seen + 1,
            ack_policy=api.AckPolicy.NONE,
            inactive_threshold=60.0,
            mem_storage=True,
        )

    pull = Pull(bus, subjects.EVENTS, config, clock or SystemClock(), last_seen=last_seen)
    async with pull:
        while True:
            message = await pull.next()
            try:
                meta = cloudevents.meta_of(message.headers)
                event = cloudevents.unwrap(by_name[meta.type], message.data)
            except (InvalidInput, KeyError) as error:
                _log.warning("event skipped in a live tail", subject=message.subject, error=str(error))
                continue
            if wanted(event, meta):
                yield event, meta
