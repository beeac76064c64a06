"""Where messages go that nobody can handle, and the event that says so."""

import structlog
from nats.aio.msg import Msg
from xenkeep.common.v1.bus_pb2 import MessageDeadLettered

from services.chassis.bus import cloudevents, subjects
from services.chassis.bus.nats_bus import Bus
from services.chassis.clock import Clock
from services.chassis.errors import InvalidInput, XenkeepError

_log = structlog.get_logger("xenkeep.bus")
_HEADER_CHARACTERS = 512


async def set_aside(bus: Bus, message: Msg, consumer: str, error: BaseException, clock: Clock) -> None:
    """Copy ``message`` to ``xenkeep.dead.<consumer>``, announce it, and end its redelivery; in this order.

    Killed in between, the message comes again and the copies are dropped as duplicates. Raises Unavailable.
    """
    received = dict(message.headers or {})
    place = message.metadata
    try:
        meta = cloudevents.meta_of(received)
        message_id, message_type = meta.id, meta.type
    except InvalidInput:
        message_id, message_type = f"{place.stream}-{place.sequence.stream}", ""
    reason, detail = describe(error)
    event = MessageDeadLettered(
        message_id=message_id,
        message_type=message_type,
        message_subject=message.subject,
        consumer=consumer,
        reason=reason,
        detail=detail,
        deliveries=place.num_delivered,
        dead_letter_subject=subjects.of_dead(consumer),
    )
    headers = {key: value for key, value in received.items() if not key.lower().startswith("nats-")}
    headers |= {
        "xenkeep-dead-reason": reason,
        "xenkeep-dead-detail": cloudevents.header_text(detail[:_HEADER_CHARACTERS]),
        "xenkeep-dead-subject": message.subject,
    }
    unique = f"dead-{consumer}-{place.stream}-{place.sequence.stream}"
    await bus.publish(event.dead_letter_subject, message.data, headers, unique)
    announced = cloudevents.wrap(
        event,
        id=f"{unique}-event",
        source=cloudevents.source_of(bus.service),
        subject_id=message_id,
        time=clock.now(),
    )
    await bus.publish(subjects.of_event(type(event)), announced.body, announced.headers, announced.id)
    await bus.end(message)
    _log.error("message set aside", consumer=consumer, message_id=message_id, reason=reason, detail=detail)


def describe(error: BaseException) -> tuple[str, str]:
    """(reason, sentence); of a defect only its kind, because its text may hold anything."""
    if isinstance(error, XenkeepError):
        return error.reason, str(error)
    return "INTERNAL", f"The handler failed with {type(error).__name__}; the log has the traceback."
