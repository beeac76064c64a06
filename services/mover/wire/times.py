"""Moments."""

from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp


def time_to_proto(time: datetime | None) -> Timestamp | None:
    """None stays unset."""
    if time is None:
        return None
    made = Timestamp()
    made.FromDatetime(time)
    return made


def time_from_proto(time: Timestamp) -> datetime:
    """The epoch for an unset one."""
    return time.ToDatetime(UTC)
