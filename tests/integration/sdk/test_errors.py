"""What a real server fails with, as the SDK tells it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status
from xenkeep.errors import Error, translated
from xenkeep.hypervisor.v1 import pool_pb2, pool_pb2_grpc

from tests.support.waiting import PATIENCE_S


@contextmanager
def failing(folder: Path, how: status_pb2.Status | grpc.StatusCode) -> Iterator[grpc.Channel]:
    """A channel to a server that fails every GetPool."""

    def refuse(_request: pool_pb2.GetPoolRequest, context: grpc.ServicerContext) -> pool_pb2.Pool:
        if isinstance(how, status_pb2.Status):
            context.abort_with_status(rpc_status.to_status(how))
        else:
            context.abort(how, "a word of the transport")
        raise AssertionError

    method = grpc.unary_unary_rpc_method_handler(
        refuse, pool_pb2.GetPoolRequest.FromString, pool_pb2.Pool.SerializeToString
    )
    service = grpc.method_handlers_generic_handler("xenkeep.hypervisor.v1.PoolService", {"GetPool": method})
    target = f"unix:{folder / 'socket'}"
    with ThreadPoolExecutor(1) as pool:
        server = grpc.server(pool)
        server.add_generic_rpc_handlers([service])
        server.add_insecure_port(target)
        server.start()
        with grpc.insecure_channel(target) as channel:
            yield channel
        server.stop(None).wait()


def error_of(channel: grpc.Channel) -> Error:
    stub = pool_pb2_grpc.PoolServiceStub(channel)
    with pytest.raises(Error) as raised, translated("hypervisor", "host:1"):
        stub.GetPool(pool_pb2.GetPoolRequest(name="pools/x"), timeout=PATIENCE_S)
    return raised.value


def test_an_answer_with_details_is_the_error_it_was(tmp_path: Path) -> None:
    detail = any_pb2.Any()
    detail.Pack(error_details_pb2.ErrorInfo(reason="POOL_UNKNOWN", metadata={"hint": "List the pools."}))
    code = grpc.StatusCode.NOT_FOUND.value[0]
    with failing(
        tmp_path, status_pb2.Status(code=code, message="There is none.", details=[detail])
    ) as channel:
        error = error_of(channel)

    assert ("NotFound", "POOL_UNKNOWN", "There is none.", "List the pools.", 4) == (
        error.kind,
        error.reason,
        error.message,
        error.hint,
        error.exit_code,
    )


@pytest.mark.parametrize(
    ("code", "kind", "reason", "message"),
    [
        (grpc.StatusCode.UNAVAILABLE, "Unavailable", "SERVICE_UNREACHABLE", "hypervisor service at host:1"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "DeadlineExceeded", "DEADLINE_EXCEEDED", "took too long"),
        (
            grpc.StatusCode.PERMISSION_DENIED,
            "PermissionDenied",
            "PERMISSION_DENIED",
            "a word of the transport",
        ),
        (grpc.StatusCode.UNIMPLEMENTED, "FailedPrecondition", "UNIMPLEMENTED", "a word of the transport"),
        (grpc.StatusCode.UNKNOWN, "Internal", "UNKNOWN", "a word of the transport"),
    ],
)
def test_what_the_transport_says_is_a_kind_too(
    tmp_path: Path, code: grpc.StatusCode, kind: str, reason: str, message: str
) -> None:
    with failing(tmp_path, code) as channel:
        error = error_of(channel)

    assert (kind, reason) == (error.kind, error.reason)
    assert message in error.message


def test_nobody_at_the_address_is_unavailable_and_says_who(tmp_path: Path) -> None:
    with grpc.insecure_channel(f"unix:{tmp_path / 'nobody'}") as channel:
        error = error_of(channel)

    assert ("Unavailable", 9) == (error.kind, error.exit_code)
    assert "The hypervisor service at host:1 does not answer." == error.message
    assert "xenkeep up" in error.hint
