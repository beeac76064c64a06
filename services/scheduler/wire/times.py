"""Moments and notes."""

from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp
from xenkeep.common.v1 import capture_pb2

from services.scheduler.domain.notes import Failure, Notice


def time_to_proto(moment: datetime | None) -> Timestamp | None:
    """None stays unset."""
    if moment is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(moment.astimezone(UTC))
    return stamp


def notice_to_proto(notice: Notice) -> capture_pb2.Notice:
    return capture_pb2.Notice(code=notice.code, message=notice.message)


def notice_from_proto(notice: capture_pb2.Notice) -> Notice:
    return Notice(notice.code, notice.message)


def failure_to_proto(failure: Failure | None) -> capture_pb2.Failure | None:
    if failure is None:
        return None
    return capture_pb2.Failure(
        kind=failure.kind, reason=failure.reason, message=failure.message, hint=failure.hint
    )


def failure_from_proto(failure: capture_pb2.Failure) -> Failure:
    """A mover that gives no reason is quoted as saying so."""
    return Failure(
        failure.kind or "Internal",
        failure.reason or "UNSPECIFIED",
        failure.message or "The mover gave no reason.",
        failure.hint,
    )
