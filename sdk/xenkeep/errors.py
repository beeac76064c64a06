"""What a call can fail with, as a person and a script need it."""

from collections.abc import Iterator
from contextlib import contextmanager

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from xenkeep import status


class Error(Exception):
    """A call failed. ``kind`` is a row of ``xenkeep.status``, ``reason`` a code, ``hint`` the way out."""

    def __init__(self, kind: str, reason: str, message: str, hint: str = "") -> None:
        super().__init__(f"{message} {hint}".strip())
        self.kind = kind
        self.reason = reason
        self.message = message
        self.hint = hint

    @property
    def exit_code(self) -> int:
        """What ``xenkeep`` ends with."""
        return status.of_kind(self.kind).exit_code


def from_rpc(error: grpc.RpcError, service: str, target: str) -> Error:
    """Read the one ``ErrorInfo`` of a failed call; without one, say what the transport knows.

    ``service`` and ``target`` name who was asked: a server that does not answer cannot say so itself.
    """
    code = error.code() if isinstance(error, grpc.Call) else grpc.StatusCode.UNKNOWN
    text = (error.details() if isinstance(error, grpc.Call) else None) or str(error)
    kind = status.of_code(code).kind
    rich = rpc_status.from_call(error) if isinstance(error, grpc.Call) else None
    if rich is not None:
        for detail in rich.details:
            info = error_details_pb2.ErrorInfo()
            if detail.Unpack(info):
                return Error(kind, info.reason, rich.message, info.metadata.get("hint", ""))
    if kind == "Unavailable":
        hint = "Start the services with `xenkeep up`, or check their address in the home folder."
        return Error(kind, "SERVICE_UNREACHABLE", f"The {service} service at {target} does not answer.", hint)
    if kind == "DeadlineExceeded":
        return Error(
            kind, "DEADLINE_EXCEEDED", f"The {service} service at {target} took too long.", "Try again."
        )
    return Error(kind, code.name, text)


@contextmanager
def translated(service: str, target: str) -> Iterator[None]:
    """Turn what grpc raises inside into ``Error``."""
    try:
        yield
    except grpc.RpcError as error:
        raise from_rpc(error, service, target) from None
