import asyncio
import gc
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.struct_pb2 import Struct
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from structlog.testing import capture_logs

from services.chassis.errors import (
    DataLoss,
    DeadlineExceeded,
    FailedPrecondition,
    Internal,
    InvalidInput,
    NotFound,
    PermissionDenied,
    Unavailable,
    XenkeepError,
)
from services.chassis.ids import SequentialIds
from services.chassis.rpc.channel import channel, translated
from services.chassis.rpc.identity import EVERY, Callers
from services.chassis.rpc.server import RpcServer
from services.chassis.tls import TlsFiles
from tests.support.echo import SERVICE, Echo, EchoStub, add_echo, struct
from tests.support.pki import tls_for
from tests.support.waiting import PATIENCE_S, until_true


def serving(tmp_path: Path, echo: Echo) -> RpcServer:
    tls = tls_for(tmp_path / "pki", "catalog")
    return RpcServer(
        "127.0.0.1:0", tls, [(add_echo, echo, {"scheduler", "mover-*"})], ids=SequentialIds("incident")
    )


def dial(tmp_path: Path, server: RpcServer, name: str = "scheduler") -> grpc.aio.Channel:
    return channel(f"127.0.0.1:{server.port}", tls_for(tmp_path / "pki", name))


async def failure(call: Any) -> XenkeepError:
    with pytest.raises(XenkeepError) as caught, translated("The echo"):
        await call
    return caught.value


async def test_all_four_shapes_of_call_work_through_the_guards(tmp_path: Path) -> None:
    async def three() -> AsyncIterator[Struct]:
        for number in range(3):
            yield struct(number=number)

    async with serving(tmp_path, Echo()) as server, dial(tmp_path, server) as way:
        stub = EchoStub(way)
        assert await stub.Ask(struct(a=1)) == struct(a=1)
        numbers = [struct(number=n) for n in range(3)]
        assert [answer async for answer in stub.Watch(struct())] == numbers
        assert await stub.Collect(three()) == struct(count=3)
        assert [answer async for answer in stub.Chat(three())] == numbers


async def test_a_certificate_name_matching_a_pattern_is_let_in_and_another_is_not(tmp_path: Path) -> None:
    async with serving(tmp_path, Echo()) as server:
        async with dial(tmp_path, server, "mover-berlin") as way:
            assert await EchoStub(way).Ask(struct(a=1)) == struct(a=1)
        async with dial(tmp_path, server, "console") as way:
            error = await failure(EchoStub(way).Ask(struct()))
            assert isinstance(error, PermissionDenied)
            assert error.metadata == {"caller": "console", "service": SERVICE}
            assert error.hint
            streamed = await failure(EchoStub(way).Watch(struct()).read())
            assert streamed.reason == "CALLER_NOT_ALLOWED"


async def test_a_caller_may_call_only_the_methods_it_was_given(tmp_path: Path) -> None:
    callers: Callers = {"scheduler": {"Ask"}, "admin": EVERY}
    tls = tls_for(tmp_path / "pki", "catalog")
    async with RpcServer("127.0.0.1:0", tls, [(add_echo, Echo(), callers)]) as server:
        async with dial(tmp_path, server) as way:
            assert struct(a=1) == await EchoStub(way).Ask(struct(a=1))
            refused = await failure(EchoStub(way).Watch(struct()).read())
            assert "CALLER_NOT_ALLOWED" == refused.reason
            assert f"scheduler may not call Watch of {SERVICE}." in str(refused)
        async with dial(tmp_path, server, "admin") as way:
            assert struct(number=0) == await EchoStub(way).Watch(struct()).read()


async def test_rights_to_a_method_that_does_not_exist_stop_a_service(tmp_path: Path) -> None:
    server = RpcServer(
        "127.0.0.1:0", tls_for(tmp_path / "pki", "catalog"), [(add_echo, Echo(), {"scheduler": {"Aks"}})]
    )
    with pytest.raises(ValueError, match="Aks"):
        await server.__aenter__()


async def test_a_caller_without_a_certificate_or_of_another_authority_is_refused(tmp_path: Path) -> None:
    async with serving(tmp_path, Echo()) as server:
        ours = tls_for(tmp_path / "pki", "scheduler")
        theirs = tls_for(tmp_path / "elsewhere", "scheduler")
        target = f"127.0.0.1:{server.port}"
        anonymous = grpc.ssl_channel_credentials(ours.ca.read_bytes())
        async with grpc.aio.secure_channel(target, anonymous) as way:
            assert isinstance(await failure(EchoStub(way).Ask(struct(), timeout=PATIENCE_S)), Unavailable)
        async with channel(target, TlsFiles(ours.ca, theirs.cert, theirs.key)) as way:
            assert isinstance(await failure(EchoStub(way).Ask(struct(), timeout=PATIENCE_S)), Unavailable)
        async with channel(target, theirs) as way:
            refused = await failure(EchoStub(way).Ask(struct(), timeout=PATIENCE_S))
            assert refused.reason == "GRPC_UNAVAILABLE"
            assert refused.message.startswith("The echo cannot be reached")
        async with grpc.aio.insecure_channel(target) as way:
            assert isinstance(await failure(EchoStub(way).Ask(struct(), timeout=PATIENCE_S)), Unavailable)


async def test_a_server_that_is_somebody_else_is_not_believed(tmp_path: Path) -> None:
    async with serving(tmp_path, Echo()) as server:
        tls = tls_for(tmp_path / "pki", "scheduler")
        async with channel(f"127.0.0.1:{server.port}", tls, server_name="mover") as way:
            assert isinstance(await failure(EchoStub(way).Ask(struct(), timeout=PATIENCE_S)), Unavailable)
        async with channel(f"127.0.0.1:{server.port}", tls, server_name="catalog") as way:
            assert await EchoStub(way).Ask(struct(a=1)) == struct(a=1)


async def test_an_error_arrives_as_it_was_raised_with_reason_hint_and_metadata(tmp_path: Path) -> None:
    class Failing(Echo):
        async def Ask(self, request: Struct, context: Any) -> Struct:
            raise NotFound(
                "No point p1 – gone.", reason="POINT_UNKNOWN", hint="List.", metadata={"point": "p1"}
            )

        async def Watch(self, request: Struct, context: Any) -> AsyncIterator[Struct]:
            yield struct(first=True)
            raise DataLoss("Pack 7 is damaged.", reason="PACK_DAMAGED")

    async with serving(tmp_path, Failing()) as server, dial(tmp_path, server) as way:
        error = await failure(EchoStub(way).Ask(struct()))
        assert isinstance(error, NotFound)
        assert (error.message, error.reason, error.hint) == ("No point p1 – gone.", "POINT_UNKNOWN", "List.")
        assert error.metadata == {"point": "p1"}
        watching = EchoStub(way).Watch(struct())
        assert await watching.read() == struct(first=True)
        assert (await failure(watching.read())).reason == "PACK_DAMAGED"


async def test_a_defect_becomes_an_incident_and_its_text_stays_in_the_log(tmp_path: Path) -> None:
    class Broken(Echo):
        async def Ask(self, request: Struct, context: Any) -> Struct:
            raise ZeroDivisionError("internal detail")

    with capture_logs() as logs:
        async with serving(tmp_path, Broken()) as server, dial(tmp_path, server) as way:
            error = await failure(EchoStub(way).Ask(struct()))
    assert isinstance(error, Internal)
    assert error.metadata == {"incident": "incident-1"}
    assert "internal detail" not in str(error)
    assert [entry["incident"] for entry in logs if entry["event"] == "incident"] == ["incident-1"]
    (line,) = [entry for entry in logs if entry["event"] == "rpc"]
    assert ("scheduler", "INTERNAL", f"/{SERVICE}/Ask") == (line["caller"], line["code"], line["method"])


async def test_a_unary_call_without_a_deadline_is_refused_and_ours_always_have_one(tmp_path: Path) -> None:
    class Asked(Echo):
        async def Ask(self, request: Struct, context: Any) -> Struct:
            return struct(left=context.time_remaining())

    async with serving(tmp_path, Asked()) as server:
        tls = tls_for(tmp_path / "pki", "scheduler")
        credentials = grpc.ssl_channel_credentials(*(f.read_bytes() for f in (tls.ca, tls.key, tls.cert)))
        async with grpc.aio.secure_channel(f"127.0.0.1:{server.port}", credentials) as plain:
            error = await failure(EchoStub(plain).Ask(struct()))
            assert isinstance(error, InvalidInput)
            assert error.reason == "DEADLINE_REQUIRED"
        async with dial(tmp_path, server) as way:
            assert 0 < (await EchoStub(way).Ask(struct()))["left"] <= 30


async def test_a_late_answer_is_a_missed_deadline_and_stops_the_work(tmp_path: Path) -> None:
    stopped = asyncio.Event()

    class Slow(Echo):
        async def Ask(self, request: Struct, context: Any) -> Struct:
            try:
                await asyncio.Event().wait()
            finally:
                stopped.set()
            return request

    async with serving(tmp_path, Slow()) as server, dial(tmp_path, server) as way:
        error = await failure(EchoStub(way).Ask(struct(), timeout=0.2))
        assert isinstance(error, DeadlineExceeded)
        assert error.message == "The echo did not answer in time."
        await asyncio.wait_for(stopped.wait(), PATIENCE_S)


async def test_the_trace_of_the_caller_reaches_the_server(tmp_path: Path) -> None:
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider

    class Tracing(Echo):
        async def Ask(self, request: Struct, context: Any) -> Struct:
            return struct(trace=f"{trace.get_current_span().get_span_context().trace_id:032x}")

    async with serving(tmp_path, Tracing()) as server, dial(tmp_path, server) as way:
        with TracerProvider().get_tracer("test").start_as_current_span("question") as span:
            answer = await EchoStub(way).Ask(struct())
    assert answer["trace"] == f"{span.get_span_context().trace_id:032x}"


async def test_a_stream_that_is_cancelled_while_it_answers_leaves_one_line_and_no_traceback(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Flooding(Echo):
        async def Watch(self, request: Struct, context: Any) -> AsyncIterator[Struct]:
            while True:  # until nothing more is taken: then it waits for its answer to be sent
                yield struct(text="x" * (1 << 20))

    async with serving(tmp_path, Flooding()) as server, dial(tmp_path, server) as way:
        with capture_logs() as logs:
            call = EchoStub(way).Watch(struct())
            assert len((await call.read())["text"]) == 1 << 20
            call.cancel()
            await until_true(lambda: gc.collect() >= 0 and any(line["event"] == "rpc" for line in logs))
    assert [f"/{SERVICE}/Watch"] == [line["method"] for line in logs if line["event"] == "rpc"]
    assert [] == [record.getMessage() for record in caplog.records if record.name.startswith("opentelemetry")]


async def test_health_and_reflection_are_open_to_every_certificate_of_ours(tmp_path: Path) -> None:
    async with serving(tmp_path, Echo()) as server, dial(tmp_path, server, "probe") as way:
        health = health_pb2_grpc.HealthStub(way)
        for name in ("", SERVICE):
            answer = await health.Check(health_pb2.HealthCheckRequest(service=name))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        call = reflection_pb2_grpc.ServerReflectionStub(way).ServerReflectionInfo(iter([request]))
        listed = await call.read()
        assert SERVICE in {service.name for service in listed.list_services_response.service}


async def test_a_port_that_is_taken_is_an_error_that_says_so(tmp_path: Path) -> None:
    async with serving(tmp_path, Echo()) as server:
        second = RpcServer(f"127.0.0.1:{server.port}", tls_for(tmp_path / "pki", "catalog"), [])
        with pytest.raises(FailedPrecondition) as caught:
            await second.__aenter__()
    assert caught.value.reason == "LISTEN_FAILED"


async def test_a_message_above_the_limit_is_refused_and_one_below_passes(tmp_path: Path) -> None:
    async with serving(tmp_path, Echo()) as server, dial(tmp_path, server) as way:
        big = struct(text="x" * (15 * 1024 * 1024))
        assert await EchoStub(way).Ask(big) == big
        error = await failure(EchoStub(way).Ask(struct(text="x" * (17 * 1024 * 1024))))
        assert error.reason == "GRPC_RESOURCE_EXHAUSTED"
