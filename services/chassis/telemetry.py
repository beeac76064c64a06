"""Logs, traces and the page of metrics."""

import asyncio
import logging
import sys
from collections.abc import Callable, MutableMapping
from io import UnsupportedOperation
from typing import Any, Literal, Self, TextIO, cast

import structlog
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

from services.chassis.errors import FailedPrecondition
from services.chassis.metrics import REGISTRY
from services.chassis.redaction import redact
from services.chassis.unblocked import UnblockedText

Entry = MutableMapping[str, Any]


def set_up_logs(service: str, level: str = "info", form: Literal["json", "console"] = "json") -> None:
    """structlog on stderr, one line per entry, redacted; the standard library's loggers go the same way.

    A stderr that nobody reads does not stop the service: see ``UnblockedText``.
    """

    def name_service(_: Any, __: str, entry: Entry) -> Entry:
        entry.setdefault("service", service)
        return entry

    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        name_service,
        _name_trace,
        structlog.processors.format_exc_info,
        _redacted,
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if form == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )

    def lost(count: int) -> str:
        entry: Entry = {"event": "log lines were left out: nobody took them", "lines": count}
        for process in shared:
            entry = cast(Entry, process(None, "warning", entry))
        return str(renderer(None, "warning", entry))

    stream = _unblocked(lost)
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(number, logging.WARNING))


def _unblocked(lost: Callable[[int], str]) -> TextIO:
    """stderr; itself where it is no file, as in tests."""
    try:
        return cast(TextIO, UnblockedText(sys.stderr.fileno(), lost))
    except UnsupportedOperation:
        return sys.stderr


def _name_trace(_: Any, __: str, entry: Entry) -> Entry:
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        entry["trace_id"] = f"{context.trace_id:032x}"
        entry["span_id"] = f"{context.span_id:016x}"
    return entry


def _redacted(_: Any, __: str, entry: Entry) -> Entry:
    internal = {key: value for key, value in entry.items() if key.startswith("_")}
    clean: Entry = redact({key: value for key, value in entry.items() if key not in internal})
    return {**clean, **internal}


class Tracing:
    """A component: traces go on across services always, and are sent if ``otlp_endpoint`` is given."""

    def __init__(self, service: str, otlp_endpoint: str | None) -> None:
        self._provider = TracerProvider(
            resource=Resource.create({"service.name": f"xenkeep-{service}"}), shutdown_on_exit=False
        )
        if otlp_endpoint:
            self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=otlp_endpoint)))

    async def __aenter__(self) -> Self:
        trace.set_tracer_provider(self._provider)
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self._provider.shutdown)


class MetricsPage:
    """A component: answers ``GET /metrics`` on ``listen`` (host:port) in Prometheus' text format.

    Raises FailedPrecondition LISTEN_FAILED. Holds a caller to ten seconds and 8 KiB, and tells it nothing
    else.
    """

    def __init__(self, listen: str, registry: CollectorRegistry = REGISTRY) -> None:
        self._host, _, port = listen.rpartition(":")
        self._port = int(port)
        self._registry = registry
        self.port = 0

    async def __aenter__(self) -> Self:
        try:
            self._server = await asyncio.start_server(
                self._serve, self._host.strip("[]"), self._port, limit=8192
            )
        except OSError as error:
            raise FailedPrecondition(
                f"Cannot listen on {self._host}:{self._port} for metrics: {error.strerror}.",
                reason="LISTEN_FAILED",
                hint="Choose another XENKEEP_METRICS_LISTEN.",
            ) from error
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(10):
                request = await reader.readuntil(b"\r\n\r\n")
                writer.write(self._answer(request.split(b"\r\n", 1)[0]))
                await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return
        finally:
            writer.close()

    def _answer(self, request_line: bytes) -> bytes:
        status, kind, body = "404 Not Found", "text/plain", b"The page is /metrics.\n"
        if request_line.split(b" ")[:2] == [b"GET", b"/metrics"]:
            status, kind = "200 OK", "text/plain; version=0.0.4; charset=utf-8"
            body = generate_latest(self._registry)
        head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
        return f"{head}Connection: close\r\n\r\n".encode() + body
