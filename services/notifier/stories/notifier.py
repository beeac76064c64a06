"""Our own trouble: a channel that does not work is told through the others."""

from datetime import timedelta

from xenkeep.notifier.v1 import events_pb2 as events

from services.notifier.domain.notification import Severity, Story

QUIET = timedelta(hours=1)


def delivery_failed(event: events.DeliveryFailed) -> Story | None:
    """None when what could not be delivered told of a failed delivery itself: that would never end."""
    delivery = event.delivery
    if delivery.event_type == events.DeliveryFailed.DESCRIPTOR.full_name:
        return None
    channel = delivery.channel.removeprefix("channels/")
    return Story(
        severity=Severity.ERROR,
        incident=delivery.channel,
        about=f"channel {channel}",
        headline=f"a message to {delivery.recipient} was given up after {delivery.attempts} attempts",
        advice=f"Correct the channel and try it: xenkeep notify test {channel}.",
        details=(
            ("Message", delivery.subject),
            ("The peer said", delivery.message),
            ("More of these", "are listed, and told again after an hour: xenkeep notify deliveries"),
        ),
        except_channel=channel,
        quiet=QUIET,
    )
