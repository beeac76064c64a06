"""A notification: one fact, said so that a person or a monitoring system can act on it."""

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum


class Severity(IntEnum):
    """How bad something is; the order is meaningful (`severity >= Severity.WARNING`)."""

    INFO = 1
    WARNING = 2
    ERROR = 3


@dataclass(frozen=True, slots=True)
class Notification:
    """What happened, to what, and what to do about it.

    `event_id` is the id of the fact it comes from, so a redelivered fact makes the same notification again.
    `incident` is the thread: notifications about the same trouble (a host failed, it came back) share it.
    `about` is the policy, VM, host or repository a person knows it by; `details` are label and value.
    """

    event_id: str
    event_type: str
    severity: Severity
    incident: str
    about: str
    headline: str
    advice: str
    details: tuple[tuple[str, str], ...]
    occurred_at: datetime

    def __post_init__(self) -> None:
        if self.occurred_at.tzinfo is None:
            raise ValueError(f"notification {self.event_id}: occurred_at has no time zone")
