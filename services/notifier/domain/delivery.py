"""A delivery: one notification on its way to one recipient of one channel."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum

from services.notifier.domain.notification import Notification

ATTEMPTS = 8
FIRST_WAIT = timedelta(seconds=15)
LONGEST_WAIT = timedelta(minutes=30)


class State(Enum):
    """PENDING until the peer took it (DELIVERED) or it was given up (FAILED)."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the peer said. `confirmed` is False where the protocol has no answer (syslog has none)."""

    confirmed: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """`delivery_id` is also the message's identity on the wire, so every attempt is the same message."""

    delivery_id: str
    channel: str
    recipient: str
    notification: Notification
    create_time: datetime
    next_attempt_time: datetime
    state: State = State.PENDING
    attempts: int = 0
    confirmed: bool = False
    detail: str = ""
    finish_time: datetime | None = None

    def delivered(self, receipt: Receipt, now: datetime) -> "Delivery":
        """The peer took it."""
        return replace(
            self,
            state=State.DELIVERED,
            attempts=self.attempts + 1,
            confirmed=receipt.confirmed,
            detail=receipt.detail,
            finish_time=now,
        )

    def refused(self, why: str, now: datetime, *, final: bool) -> "Delivery":
        """An attempt failed: wait for the next, or give up when it was `final` or the last one allowed."""
        attempts = self.attempts + 1
        if final or attempts >= ATTEMPTS:
            return replace(self, state=State.FAILED, attempts=attempts, detail=why, finish_time=now)
        return replace(self, attempts=attempts, detail=why, next_attempt_time=now + wait_after(attempts))


def wait_after(attempts: int) -> timedelta:
    """How long to wait after the `attempts`-th failure: 15 s, doubled each time, half an hour at most.

    Eight attempts so spread over about 50 minutes.
    """
    return min(LONGEST_WAIT, FIRST_WAIT * (1 << (attempts - 1)))
