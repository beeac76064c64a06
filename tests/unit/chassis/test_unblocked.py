"""What a service writes to a pipe that nobody reads, or has closed, does not stop it."""

import json
import logging
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import structlog

from services.chassis.telemetry import set_up_logs
from services.chassis.unblocked import UnblockedText

MUCH = 1 << 20


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    for end in (reading, writing):
        with suppress(OSError):
            os.close(end)


def _text(descriptor: int) -> UnblockedText:
    return UnblockedText(descriptor, lambda count: f"{count} lost")


def _room(reading: int) -> str:
    """What was in the pipe."""
    os.set_blocking(reading, False)
    found = b""
    with suppress(BlockingIOError):
        while piece := os.read(reading, MUCH):
            found += piece
    os.set_blocking(reading, True)
    return found.decode()


def _lines(text: UnblockedText, length: int) -> int:
    """Writes as much as no pipe holds; how many lines that were."""
    count = MUCH // length
    for number in range(count):
        text.write(f"{number:08} {'x' * (length - 10)}\n")
    return count


@pytest.mark.parametrize("length", [80, 5000])
def test_lines_that_nobody_reads_are_left_out_and_counted_once_somebody_does(
    pipe: tuple[int, int], length: int
) -> None:
    reading, writing = pipe
    text = _text(writing)
    count = _lines(text, length)
    found = _room(reading)
    text.write("after\n")
    found += _room(reading)
    *lines, lost, last = found.splitlines()
    assert "after" == last
    assert [f"{number:08}" for number in range(len(lines))] == [line[:8] for line in lines]
    assert {length - 1} == {len(line) for line in lines}, "none in pieces"
    assert f"{count - len(lines)} lost" == lost
    text.write("all is well\n")
    assert "all is well\n" == _room(reading)


def test_a_line_that_is_longer_than_the_pipe_is_finished_before_the_next_one(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    text = _text(writing)
    text.write("y" * MUCH + "\n")
    found = ""
    while "\n" not in found:
        found += _room(reading)
        text.write("between\n")
    found += _room(reading)
    first, lost, *between = found.splitlines()
    assert "y" * MUCH == first
    assert lost.endswith(" lost")
    assert {"between"} == {*between}


def test_a_line_is_whole_whoever_writes_beside(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as file:
        text = _text(file.fileno())

        def write(name: str) -> None:
            for number in range(200):
                text.write(name)
                text.write(f" {number}")
                text.write("\n")

        threads = [threading.Thread(target=write, args=(name,)) for name in "ab"]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
    told = (tmp_path / "log").read_text().splitlines()
    assert sorted(f"{name} {number}" for name in "ab" for number in range(200)) == sorted(told)


def test_a_reader_that_went_away_stops_nobody(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    os.close(reading)
    _text(writing).write("to nobody\n")


@contextmanager
def _stderr(descriptor: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    with open(descriptor, "w", closefd=False) as stderr:
        monkeypatch.setattr(sys, "stderr", stderr)
        yield
        monkeypatch.undo()
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


def test_a_service_whose_log_nobody_reads_goes_on_and_tells_how_much_is_missing(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, writing = pipe
    with _stderr(writing, monkeypatch):
        set_up_logs("mover")
        log = structlog.get_logger("x")
        for number in range(2000):
            log.info("pack taken", number=number)
        logging.getLogger("a.library").warning("of a library")
        found = _room(reading)
        log.info("goes on")
        found += _room(reading)
    entries = [json.loads(line) for line in found.splitlines()]
    *taken, missing, last = entries
    assert list(range(len(taken))) == [entry["number"] for entry in taken]
    assert ("goes on", 2001 - len(taken)) == (last["event"], missing["lines"])
    assert ("warning", "mover") == (missing["level"], missing["service"])
