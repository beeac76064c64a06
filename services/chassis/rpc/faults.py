"""Errors on the wire: google.rpc.Status with one ErrorInfo, there and back, through the one table.

The hint travels as metadata key ``hint`` (google.rpc.ErrorInfo allows keys of up to 64 characters).
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager

import grpc
import structlog
from google.protobuf.any_pb2 import Any
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status
from xenkeep import status

from services.chassis.errors import KINDS, Internal, XenkeepError
from services.chassis.ids import IdSource
from services.chassis.rpc.call import Call

DOMAIN = "xenkeep"
DETAILS_KEY = "grpc-status-details-bin"
_log = structlog.get_logger("xenkeep.rpc")


def answered(ids: IdSource) -> Callable[[Call], AbstractAsyncContextManager[None]]:
    """A ``Guard`` that turns whatever a method raises into the call's status; mid-stream as well."""

    @asynccontextmanager
    async def guard(call: Call) -> AsyncIterator[None]:
        try:
            yield
        except asyncio.CancelledError:
            call.code = grpc.StatusCode.CANCELLED
            raise
        except grpc.aio.AbortError:
            call.code = grpc.StatusCode(_code_of(call.context.code()))
            raise
        except XenkeepError as error:
            await _abort(call, error)
        except Exception as error:  # noqa: BLE001 - the boundary: a defect becomes an answer
            incident = ids.new()
            _log.exception("incident", incident=incident, method=call.method, caller=call.caller)
            await _abort(call, _incident(incident), cause=error)

    return guard


def _incident(incident: str) -> Internal:
    return Internal(
        f"Something went wrong on our side (incident {incident}).",
        reason="INTERNAL",
        hint="Look for the incident in the service's log and report it.",
        metadata={"incident": incident},
    )


async def _abort(call: Call, error: XenkeepError, cause: Exception | None = None) -> None:
    call.code = status.of_kind(error.kind).code
    call.reason = error.reason
    details = ((DETAILS_KEY, to_status(error).SerializeToString()),)
    try:
        await call.context.abort(call.code, error.message, details)
    except grpc.aio.AbortError as aborted:
        raise aborted from (cause or error)


def to_status(error: XenkeepError) -> Status:
    """The error as google.rpc.Status."""
    metadata = dict(error.metadata)
    if error.hint:
        metadata["hint"] = error.hint
    detail = Any()
    detail.Pack(ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=metadata))
    return Status(code=status.of_kind(error.kind).code.value[0], message=error.message, details=[detail])


def from_status(received: Status) -> XenkeepError | None:
    """The error in a google.rpc.Status, or None when it is not one of ours."""
    for detail in received.details:
        info = ErrorInfo()
        try:
            ours = detail.Unpack(info) and info.domain == DOMAIN
        except DecodeError:
            continue
        if ours:
            metadata = dict(info.metadata)
            kind = status.of_code(_CODES.get(received.code, grpc.StatusCode.UNKNOWN)).kind
            return KINDS[kind](
                received.message,
                reason=info.reason or "UNSPECIFIED",
                hint=metadata.pop("hint", ""),
                metadata=metadata,
            )
    return None


def error_from_rpc(error: grpc.aio.AioRpcError, peer: str = "The peer") -> XenkeepError:
    """What a failed call means: our own error as it was raised there, or the kind its code stands for.

    ``peer`` names who was called, for a sentence such as "The catalog did not answer in time."
    """
    for key, value in error.trailing_metadata() or ():
        if key == DETAILS_KEY and isinstance(value, bytes):
            try:
                ours = from_status(Status.FromString(value))
            except DecodeError:
                continue
            if ours is not None:
                return ours
    code = error.code()
    kind = status.of_code(code).kind
    said = (error.details() or "no details").rstrip(".")
    sentence, hint = _FOREIGN.get(kind, ("refused the call: {said}.", ""))
    return KINDS[kind](
        f"{peer} " + sentence.format(said=said),
        reason=f"GRPC_{code.name}",
        hint=hint,
        metadata={"peer": peer},
    )


@contextmanager
def translated(peer: str) -> Iterator[None]:
    """For ``grpc_*`` adapters: calls made inside raise XenkeepError, never AioRpcError."""
    try:
        yield
    except grpc.aio.AioRpcError as error:
        raise error_from_rpc(error, peer) from error


_CODES = {code.value[0]: code for code in grpc.StatusCode}
_FOREIGN = {
    "Unavailable": (
        "cannot be reached: {said}.",
        "Check that it runs, that the address is right and that both certificates are of one authority.",
    ),
    "DeadlineExceeded": (
        "did not answer in time.",
        "Try again; if it persists, look at its load and its log.",
    ),
    "Cancelled": ("was no longer listened to: the call was cancelled.", ""),
}


def _code_of(code: object) -> grpc.StatusCode:
    return code if isinstance(code, grpc.StatusCode) else _CODES.get(int(str(code)), grpc.StatusCode.UNKNOWN)
