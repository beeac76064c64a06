"""What people read."""

import io
import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console, RenderableType
from xenkeep.cli import output
from xenkeep.cli import run as run_commands
from xenkeep.common.v1 import capture_pb2
from xenkeep.demo import summary
from xenkeep.mover.v1 import repository_pb2
from xenkeep.scheduler.v1 import run_pb2

FINGERPRINT = ":".join(["AB"] * 32)


def piped(what: RenderableType) -> str:
    """As a pipe gets it."""
    stream = io.StringIO()
    output._console(stream).print(what)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (20 << 30, "20.0 GiB"),
        (5 << 50, "5120.0 TiB"),
    ],
)
def test_sizes_are_in_binary_units(number: int, text: str) -> None:
    assert text == output.size(number)


def test_a_moment_is_in_the_zone_of_who_looks_and_nothing_is_nothing() -> None:
    moment = Timestamp()
    moment.FromDatetime(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    here = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC).astimezone()

    assert here.strftime("%Y-%m-%d %H:%M:%S") == output.moment(moment)
    assert "" == output.moment(Timestamp())


def test_words_are_enum_values_without_their_prefix() -> None:
    assert "succeeded" == output.word(run_pb2.Run.State, run_pb2.Run.STATE_SUCCEEDED)
    assert "" == output.word(run_pb2.Run.State, 0)
    assert "powered off" == output.word(capture_pb2.Consistency, capture_pb2.CONSISTENCY_POWERED_OFF)


def test_a_full_is_said_with_its_reason() -> None:
    reason = capture_pb2.FULL_REASON_FIRST_BACKUP
    assert "full (first backup)" == output.level(capture_pb2.LEVEL_FULL, reason)
    assert "incremental" == output.level(capture_pb2.LEVEL_INCREMENTAL, 0)


def test_a_fingerprint_stays_what_it_is() -> None:
    """``:AB:`` is an emoji to rich."""
    assert FINGERPRINT in piped(output.details([("SHA-256", FINGERPRINT)]))


def test_names_are_not_markup() -> None:
    assert "[red]web[/]" in piped(output.table(("NAME",), [("[red]web[/]",)]))


def test_names_do_not_command_the_terminal() -> None:
    told = piped(output.table(("NAME",), [("web\x1b[2J\x07\r",)]))

    assert "web\N{REPLACEMENT CHARACTER}[2J" in told
    assert not {"\x1b", "\x07", "\r"} & set(told)


@settings(deadline=None)  # the machine may be busy
@given(st.text())
def test_printable_text_is_printable_and_as_long(text: str) -> None:
    shown = output.printable(text)

    assert len(text) == len(shown)
    assert all(char.isprintable() or char == "\n" for char in shown)


def test_what_goes_into_a_pipe_is_not_folded() -> None:
    rows = [tuple("x" * 60 for _ in range(5))]

    assert any(line.count("x") == 300 for line in piped(output.table(tuple("ABCDE"), rows)).splitlines())


def test_an_empty_list_shows_what_would_be_in_it() -> None:
    assert "NAME" in piped(output.table(("NAME", "STATE"), []))


def test_details_leave_out_what_is_empty() -> None:
    assert ["State  ready"] == [
        line.rstrip() for line in piped(output.details([("State", "ready"), ("Why", "")])).splitlines()
    ]


def test_json_has_every_field_by_its_name_in_the_contract() -> None:
    data = output.as_data(repository_pb2.Repository(name="repositories/1", stored_bytes=1 << 40))

    assert {field.name for field in repository_pb2.Repository.DESCRIPTOR.fields} - {"create_time"} == set(
        data
    )
    assert str(1 << 40) == data["stored_bytes"]
    assert json.dumps(data)


def test_a_narrow_terminal_folds_nothing_away() -> None:
    stream = io.StringIO()
    Console(file=stream, width=20, markup=False, emoji=False).print(
        output.details([("SHA-256", FINGERPRINT)])
    )

    assert FINGERPRINT == "".join(stream.getvalue().removeprefix("SHA-256").split())


def test_an_error_is_said_with_its_way_out_and_its_exit_code(tmp_path: Path) -> None:
    code = "from xenkeep.cli.main import main; main()"
    command = [sys.executable, "-c", code, "--home", str(tmp_path / "[none]"), "status"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert (4, "") == (done.returncode, done.stdout)
    assert [
        f"Error: There is no Xenkeep home in {tmp_path}/[none].",
        "Make one with `xenkeep init`, or name another one with XENKEEP_HOME.",
    ] == done.stderr.splitlines()


def test_the_summary_of_the_demo_has_a_line_for_each_vm_and_run() -> None:
    vm = {
        "vm": "web",
        "level": "full",
        "logical_bytes": 1 << 30,
        "read_bytes": 3 << 20,
        "stored_bytes": 1 << 20,
        "seconds": 1.5,
        "mib_per_second": 2.0,
    }

    assert [
        "VM   RUN      SIZE     READ   STORED  SECONDS  MIB/S",
        "web  full  1.0 GiB  3.0 MiB  1.0 MiB      1.5    2.0",
    ] == summary.lines([vm])


def test_a_run_shows_what_was_less_than_asked_or_had_to_be_tried_again() -> None:
    task = run_pb2.Task(subject_display_name="web", state=run_pb2.Task.STATE_SUCCEEDED)
    task.notices.add(code="TRY_FAILED", message="Try 1 failed.")
    task.result.notices.add(code="STORE_RETRIED", message="The store was asked twice.")
    run = run_pb2.Run(name="runs/1", state=run_pb2.Run.STATE_SUCCEEDED, tasks=[task])
    run.notices.add(code="FIRED_LATE", message="Due yesterday.")

    shown = piped(run_commands._render(run))

    for message in ("Due yesterday.", "Try 1 failed.", "The store was asked twice."):
        assert message in shown
