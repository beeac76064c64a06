"""Moments and durations."""

from datetime import UTC, datetime, timedelta

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from services.chassis.errors import InvalidInput


def time_to_proto(time: datetime | None) -> Timestamp | None:
    """None stays unset."""
    if time is None:
        return None
    made = Timestamp()
    made.FromDatetime(time)
    return made


def duration_from_proto(duration: Duration) -> timedelta:
    """Raises InvalidInput for one that is no duration."""
    try:
        return duration.ToTimedelta()
    except ValueError:
        raise InvalidInput(
            f"{duration.seconds} seconds are no duration.", reason="DURATION_INVALID", hint="Ask for less."
        ) from None


def time_from_proto(time: Timestamp) -> datetime:
    """The epoch for an unset one."""
    return time.ToDatetime(UTC)
