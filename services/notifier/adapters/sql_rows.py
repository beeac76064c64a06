"""Channels and deliveries as rows. What is read back is checked again: a row is input too."""

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter

from services.notifier.domain.channel import Channel
from services.notifier.domain.delivery import Delivery, State
from services.notifier.domain.notification import Notification, Severity
from services.notifier.domain.settings import Email, Settings, Sms, Syslog
from services.notifier.domain.text import one_line

Row = Mapping[Any, Any]

_KINDS: Mapping[str, TypeAdapter[Any]] = {
    "syslog": TypeAdapter(Syslog),
    "email": TypeAdapter(Email),
    "sms": TypeAdapter(Sms),
}
_NOTIFICATION = TypeAdapter(Notification)


def channel_to_row(channel: Channel) -> dict[str, Any]:
    kind = _kind(channel.settings)
    return {
        "name": channel.name,
        "kind": kind,
        "settings": _KINDS[kind].dump_python(channel.settings, mode="json"),
        "minimum_severity": int(channel.minimum_severity),
        "event_types": list(channel.event_types),
    }


def channel_from_row(row: Row) -> Channel:
    """Raises ValueError or `InvalidInput` for a row that nobody of us has written."""
    return Channel(
        name=row["name"],
        settings=_KINDS[row["kind"]].validate_python(row["settings"]),
        minimum_severity=Severity(row["minimum_severity"]),
        event_types=tuple(row["event_types"]),
    )


def delivery_to_row(delivery: Delivery) -> dict[str, Any]:
    return {
        "delivery_id": delivery.delivery_id,
        "channel": delivery.channel,
        "recipient": delivery.recipient,
        "event_id": delivery.notification.event_id,
        **topic_of(delivery.notification),
        "notification": _NOTIFICATION.dump_python(delivery.notification, mode="json"),
        "create_time": delivery.create_time,
        "next_attempt_time": delivery.next_attempt_time,
        "claim_until": None,
        "state": delivery.state.value,
        "attempts": delivery.attempts,
        "confirmed": delivery.confirmed,
        "detail": delivery.detail,
        "finish_time": delivery.finish_time,
    }


def topic_of(notification: Notification) -> dict[str, str]:
    """What it is about, as columns."""
    return {"event_type": notification.event_type, "incident": one_line(notification.incident, 255)}


def delivery_from_row(row: Row) -> Delivery:
    return Delivery(
        delivery_id=row["delivery_id"],
        channel=row["channel"],
        recipient=row["recipient"],
        notification=_NOTIFICATION.validate_python(row["notification"]),
        create_time=row["create_time"],
        next_attempt_time=row["next_attempt_time"],
        state=State(row["state"]),
        attempts=row["attempts"],
        confirmed=row["confirmed"],
        detail=row["detail"],
        finish_time=row["finish_time"],
    )


def _kind(settings: Settings) -> str:
    match settings:
        case Syslog():
            return "syslog"
        case Email():
            return "email"
        case Sms():
            return "sms"
