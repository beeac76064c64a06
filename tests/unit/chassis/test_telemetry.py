import asyncio
import json
import logging
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client import CollectorRegistry, Counter

from services.chassis.config import Secret
from services.chassis.errors import FailedPrecondition
from services.chassis.redaction import redact
from services.chassis.telemetry import MetricsPage, set_up_logs


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


def test_a_log_line_is_json_with_service_time_and_trace(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logs("catalog")
    with TracerProvider().get_tracer("t").start_as_current_span("s") as span:
        structlog.get_logger("x").info("point added", point="p1", size=3)
    line = json.loads(capsys.readouterr().err)
    assert tuple(line[key] for key in ("event", "service", "level", "point", "size")) == (
        "point added",
        "catalog",
        "info",
        "p1",
        3,
    )
    assert line["trace_id"] == f"{span.get_span_context().trace_id:032x}"
    assert line["timestamp"].endswith("Z")


def test_secrets_do_not_reach_a_log_line_by_key_by_text_by_traceback_or_by_a_library(
    capsys: pytest.CaptureFixture[str],
) -> None:
    set_up_logs("catalog")
    log = structlog.get_logger("x")
    log.info(
        "a",
        password="hunter2",
        nested={"Session_ID": "hunter2"},
        export_name="hunter2",
        key=Secret("hunter2"),
    )
    log.info("GET /export?session_id=OpaqueRef:hunter2-1234&uuid=1", url="postgresql://u:hunter2@h/d")
    log.info("b", listed=["Authorization: Bearer hunter2hunter2", {"api-key": "hunter2"}], raw=b"hunter2")
    try:
        raise ValueError("bad session_id=hunter2")
    except ValueError:
        log.exception("failed")
    logging.getLogger("some.library").warning("token=%s", "hunter2")
    written = capsys.readouterr().err
    assert "hunter2" not in written
    assert len(written.strip().split("\n")) == 5
    assert all(json.loads(line) for line in written.strip().split("\n"))


@given(st.text(), st.text(alphabet="abcdefghijklmnopqrstuvwxyz0123456789", min_size=8))
def test_an_opaque_reference_is_masked_wherever_it_stands(around: str, reference: str) -> None:
    assert f"OpaqueRef:{reference}" not in redact(f"{around} OpaqueRef:{reference} {around}")


@given(st.dictionaries(st.text(min_size=1), st.text()))
def test_redaction_keeps_the_keys(entry: dict[str, str]) -> None:
    assert set(redact(entry)) == set(entry)


def test_harmless_text_is_left_alone() -> None:
    text = "restored tokens-of-appreciation.vhd from pools/lab/vms/1 at 10:15"
    assert redact({"event": text, "count": 3, "ok": True, "none": None}) == {
        "event": text,
        "count": 3,
        "ok": True,
        "none": None,
    }


async def _get(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


async def test_the_metrics_page_answers_prometheus_and_nobody_else() -> None:
    registry = CollectorRegistry()
    Counter("xenkeep_test", "Counts.", registry=registry).inc(3)
    async with MetricsPage("127.0.0.1:0", registry) as page:
        answer = await _get(page.port, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200 OK")
        assert b"xenkeep_test_total 3.0" in answer
        assert (await _get(page.port, b"GET /secrets HTTP/1.1\r\n\r\n")).startswith(b"HTTP/1.1 404")
        assert await _get(page.port, b"x" * 20_000) == b""
        with pytest.raises(FailedPrecondition) as caught:
            await MetricsPage(f"127.0.0.1:{page.port}").__aenter__()
    assert caught.value.reason == "LISTEN_FAILED"
