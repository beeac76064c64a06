"""The one table that turns a kind of error into a gRPC status code and a CLI exit code.

Exit code 0 is success and 3 is kept free: shells and monitoring plug-ins give both their own meaning. UNKNOWN
and the codes grpc itself invents have no kind: they are read as INTERNAL, or UNIMPLEMENTED as a failed
precondition.
"""

from dataclasses import dataclass

import grpc


@dataclass(frozen=True, slots=True)
class Status:
    """One row: ``kind`` is the name of an error class, ``exit_code`` what ``xenkeep`` ends with."""

    kind: str
    code: grpc.StatusCode
    exit_code: int


TABLE: tuple[Status, ...] = (
    Status("InvalidInput", grpc.StatusCode.INVALID_ARGUMENT, 2),
    Status("NotFound", grpc.StatusCode.NOT_FOUND, 4),
    Status("AlreadyExists", grpc.StatusCode.ALREADY_EXISTS, 5),
    Status("FailedPrecondition", grpc.StatusCode.FAILED_PRECONDITION, 6),
    Status("Unauthenticated", grpc.StatusCode.UNAUTHENTICATED, 7),
    Status("PermissionDenied", grpc.StatusCode.PERMISSION_DENIED, 8),
    Status("Unavailable", grpc.StatusCode.UNAVAILABLE, 9),
    Status("ResourceExhausted", grpc.StatusCode.RESOURCE_EXHAUSTED, 10),
    Status("Aborted", grpc.StatusCode.ABORTED, 11),
    Status("DataLoss", grpc.StatusCode.DATA_LOSS, 12),
    Status("DeadlineExceeded", grpc.StatusCode.DEADLINE_EXCEEDED, 13),
    Status("Cancelled", grpc.StatusCode.CANCELLED, 14),
    Status("Internal", grpc.StatusCode.INTERNAL, 1),
)

_FOREIGN = {
    grpc.StatusCode.OUT_OF_RANGE: "InvalidInput",
    grpc.StatusCode.UNIMPLEMENTED: "FailedPrecondition",
}
_BY_KIND = {row.kind: row for row in TABLE}
_BY_CODE = {row.code: row for row in TABLE}


def of_kind(kind: str) -> Status:
    """The row of an error kind; raises KeyError for a kind that is not in the table."""
    return _BY_KIND[kind]


def of_code(code: grpc.StatusCode) -> Status:
    """The row a received code is read as: its own, or the nearest for codes that no kind has."""
    return _BY_CODE.get(code) or _BY_KIND[_FOREIGN.get(code, "Internal")]
