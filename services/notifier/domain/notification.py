"""A notification: one fact, said so that a person or a monitoring system can act on it."""

from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from enum import IntEnum


class Severity(IntEnum):
    """How bad something is; the order is meaningful (`severity >= Severity.WARNING`)."""

    INFO = 1
    WARNING = 2
    ERROR = 3


@dataclass(frozen=True, kw_only=True)
class Story:
    """What happened, to what, and what to do about it.

    `incident` is the thread: notifications about the same trouble (a host failed, it came back) share it.
    `about` is the policy, VM, host or repository a person knows it by; `details` are label and value.
    `except_channel` is a channel that cannot be told, because the trouble is its own. `quiet` is how long
    after one telling of an event type about an incident further ones are kept from people: trouble that
    comes in hundreds must not become hundreds of text messages.
    """

    severity: Severity
    incident: str
    about: str
    headline: str
    advice: str = ""
    details: tuple[tuple[str, str], ...] = ()
    except_channel: str = ""
    quiet: timedelta = timedelta(0)


@dataclass(frozen=True, kw_only=True)
class Notification(Story):
    """A story with its source. `event_id` is the fact's own: the fact told again is the same notification."""

    event_id: str
    event_type: str
    occurred_at: datetime

    def __post_init__(self) -> None:
        if self.occurred_at.tzinfo is None:
            raise ValueError(f"notification {self.event_id}: occurred_at has no time zone")


def notification_of(story: Story, *, event_id: str, event_type: str, occurred_at: datetime) -> Notification:
    """The story of that event."""
    told = {field.name: getattr(story, field.name) for field in fields(Story)}
    return Notification(event_id=event_id, event_type=event_type, occurred_at=occurred_at, **told)
