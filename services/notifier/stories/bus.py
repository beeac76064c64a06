"""Messages nobody could handle."""

from datetime import timedelta

from xenkeep.common.v1.bus_pb2 import MessageDeadLettered

from services.notifier.domain.amounts import count
from services.notifier.domain.notification import Severity, Story

QUIET = timedelta(minutes=10)


def message_dead_lettered(event: MessageDeadLettered) -> Story | None:
    """None when the message was such an announcement itself: that would never end."""
    if event.message_type == MessageDeadLettered.DESCRIPTOR.full_name:
        return None
    what = event.message_type.rpartition(".")[2] or "message"
    return Story(
        severity=Severity.ERROR,
        incident=f"dead/{event.consumer}",
        about=event.consumer,
        headline=f"could not handle a {what} and set it aside: {event.detail or event.reason}",
        advice="What it asked for was not done. Read the service's log, correct the cause, and report it.",
        details=(
            ("Message", f"{event.message_type or event.message_subject} {event.message_id}"),
            ("Tried", count(event.deliveries, "time")),
            ("Set aside at", event.dead_letter_subject),
            ("Reason", event.reason),
            ("More of these", "lie there too, and are told again after ten minutes"),
        ),
        quiet=QUIET,
    )
