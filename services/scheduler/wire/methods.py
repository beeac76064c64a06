"""Capture methods."""

from xenkeep.common.v1 import capture_pb2

from services.chassis.errors import InvalidInput
from services.scheduler.domain.policy import Method

_TO_PROTO = {
    Method.NORMAL: capture_pb2.METHOD_NORMAL,
    Method.OFFLINE: capture_pb2.METHOD_OFFLINE,
    Method.MEMORY: capture_pb2.METHOD_MEMORY,
    Method.QUIESCED: capture_pb2.METHOD_QUIESCED,
}
_FROM_PROTO = {proto: method for method, proto in _TO_PROTO.items()} | {
    capture_pb2.METHOD_UNSPECIFIED: Method.NORMAL
}


def method_to_proto(method: Method) -> "capture_pb2.Method.ValueType":
    return _TO_PROTO[method]


def method_from_proto(method: "capture_pb2.Method.ValueType") -> Method:
    """Not chosen is NORMAL. Raises InvalidInput METHOD_UNKNOWN for one of a newer release."""
    try:
        return _FROM_PROTO[method]
    except KeyError:
        raise InvalidInput(
            f"There is no capture method {method}.",
            reason="METHOD_UNKNOWN",
            hint="Use normal, offline, memory or quiesced.",
        ) from None
