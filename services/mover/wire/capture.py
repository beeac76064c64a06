"""Words, remarks, failures."""

from enum import StrEnum
from typing import Any, TypeVar

from xenkeep.common.v1 import capture_pb2

from services.mover.domain.capture import (
    Consistency,
    DiskKind,
    Failure,
    FullReason,
    GroupMoment,
    Level,
    Method,
    Remark,
)

WordT = TypeVar("WordT", bound=StrEnum)


def method_to_proto(method: Method) -> capture_pb2.Method.ValueType:
    return capture_pb2.Method.Value(f"METHOD_{method.name}")


def method_from_proto(method: capture_pb2.Method.ValueType) -> Method:
    """NORMAL when not chosen."""
    return _word(Method, capture_pb2.Method, method, Method.NORMAL)


def level_to_proto(level: Level) -> capture_pb2.Level.ValueType:
    return capture_pb2.Level.Value(f"LEVEL_{level.name}")


def level_from_proto(level: capture_pb2.Level.ValueType) -> Level:
    """FULL when not said."""
    return _word(Level, capture_pb2.Level, level, Level.FULL)


def reason_to_proto(reason: FullReason) -> capture_pb2.FullReason.ValueType:
    return capture_pb2.FullReason.Value(f"FULL_REASON_{reason.value.upper()}")


def reason_from_proto(reason: capture_pb2.FullReason.ValueType) -> FullReason:
    return _word(FullReason, capture_pb2.FullReason, reason, FullReason.NONE)


def kind_to_proto(kind: DiskKind) -> capture_pb2.DiskKind.ValueType:
    return capture_pb2.DiskKind.Value(f"DISK_KIND_{kind.value.upper()}")


def kind_from_proto(kind: capture_pb2.DiskKind.ValueType) -> DiskKind:
    return _word(DiskKind, capture_pb2.DiskKind, kind, DiskKind.DATA)


def group_to_proto(group: GroupMoment | None) -> capture_pb2.GroupMoment | None:
    if group is None:
        return None
    return capture_pb2.GroupMoment(
        group_id=group.group_id, vm_count=group.vm_count, spread_milliseconds=group.spread_ms
    )


def group_from_proto(group: capture_pb2.GroupMoment) -> GroupMoment | None:
    """None when unset."""
    if not group.group_id:
        return None
    return GroupMoment(group.group_id, group.vm_count, group.spread_milliseconds)


def consistency_to_proto(consistency: Consistency) -> capture_pb2.Consistency.ValueType:
    return capture_pb2.Consistency.Value(f"CONSISTENCY_{consistency.value.upper()}")


def consistency_from_proto(consistency: capture_pb2.Consistency.ValueType) -> Consistency:
    return _word(Consistency, capture_pb2.Consistency, consistency, Consistency.UNKNOWN)


def remark_to_proto(remark: Remark) -> capture_pb2.Notice:
    return capture_pb2.Notice(code=remark.code, message=remark.message)


def remark_from_proto(notice: capture_pb2.Notice) -> Remark:
    return Remark(notice.code, notice.message)


def failure_to_proto(failure: Failure) -> capture_pb2.Failure:
    return capture_pb2.Failure(
        kind=failure.kind, reason=failure.reason, message=failure.message, hint=failure.hint
    )


def failure_from_proto(failure: capture_pb2.Failure) -> Failure:
    return Failure(failure.kind, failure.reason, failure.message, failure.hint)


def _word(kind: type[WordT], enum: Any, number: int, otherwise: WordT) -> WordT:
    """The word of an enum number; ``otherwise`` for unspecified and for numbers of a newer release."""
    if number not in enum.values():
        return otherwise
    prefix = str(enum.Name(0)).removesuffix("UNSPECIFIED")
    text = str(enum.Name(number)).removeprefix(prefix).lower()
    return next((word for word in kind if word.value == text), otherwise)
