"""Moments."""

from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp


def time_to_proto(moment: datetime | None) -> Timestamp | None:
    """None stays unset."""
    if moment is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(moment.astimezone(UTC))
    return stamp


def time_from_proto(stamp: Timestamp) -> datetime:
    """Aware, in UTC, microseconds."""
    return stamp.ToDatetime(tzinfo=UTC)
