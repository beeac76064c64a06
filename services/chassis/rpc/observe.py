"""Every call leaves a trace span, two metrics and one line in the log."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import structlog
from opentelemetry import context, propagate, trace
from opentelemetry.trace import SpanKind, StatusCode

from services.chassis.clock import Clock
from services.chassis.metrics import RPC_DURATION, RPC_SERVED
from services.chassis.rpc.call import Call, Guard

_log = structlog.get_logger("xenkeep.rpc")
_tracer = trace.get_tracer("xenkeep.rpc")
_QUIET = ("grpc.health.", "grpc.reflection.")


def observed(clock: Clock) -> Guard:
    """The outermost guard. Attribute names follow OpenTelemetry's RPC semantic conventions."""

    @asynccontextmanager
    async def guard(call: Call) -> AsyncIterator[None]:
        started = clock.monotonic()
        carrier = {k: v for k, v in call.context.invocation_metadata() or () if isinstance(v, str)}
        service, _, method = call.method.strip("/").partition("/")
        attributes = {"rpc.system": "grpc", "rpc.service": service, "rpc.method": method}
        asked_in = propagate.extract(carrier)
        span = _tracer.start_span(
            f"{service}/{method}", context=asked_in, kind=SpanKind.SERVER, attributes=attributes
        )
        # Never detached: the context is that of the call's own task, and goes with it. A stream that its
        # client cancels is ended from another one, where it could not be.
        context.attach(trace.set_span_in_context(span, asked_in))
        try:
            yield
        finally:
            seconds = clock.monotonic() - started
            span.set_attribute("rpc.grpc.status_code", call.code.value[0])
            if call.code is not grpc.StatusCode.OK:
                span.set_status(StatusCode.ERROR, call.reason or call.code.name)
            span.end()
            RPC_SERVED.labels(call.method, call.code.name).inc()
            RPC_DURATION.labels(call.method).observe(seconds)
            write = _log.debug if service.startswith(_QUIET) else _log.info
            write(
                "rpc",
                method=call.method,
                caller=call.caller,
                code=call.code.name,
                reason=call.reason or None,
                duration_ms=round(seconds * 1000, 3),
            )

    return guard
