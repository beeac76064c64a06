"""Running a program to its end, and what that took."""

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from services.chassis.errors import Internal


@dataclass(frozen=True, slots=True)
class Cost:
    """Elapsed seconds, processor seconds of all threads, and the most memory that was resident, in bytes."""

    seconds: float
    cpu_seconds: float
    peak_rss_bytes: int


def run(
    command: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    fed_by: Sequence[str] | None = None,
    output: IO[bytes] | None = None,
) -> Cost:
    """Run ``command``, its standard input from ``fed_by`` when given; the cost is that of ``command`` alone.

    Raises Internal with the end of what the program said when it fails.
    """
    environ = os.environ | {"LC_ALL": "C.UTF-8"} | dict(environment or {})
    with tempfile.TemporaryFile() as said, ExitStack() as ending:
        started = time.perf_counter()
        feeder = subprocess.Popen(fed_by, stdout=subprocess.PIPE, stderr=said) if fed_by else None
        if feeder is not None:
            ending.callback(_end, feeder)
        process = subprocess.Popen(
            command,
            stdin=feeder.stdout if feeder else subprocess.DEVNULL,
            stdout=output or said,
            stderr=said,
            env=environ,
            cwd=cwd,
        )
        ending.callback(_end, process)
        if feeder is not None and feeder.stdout is not None:
            feeder.stdout.close()
        _, status, usage = os.wait4(process.pid, 0)  # Popen would not tell the resources used
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - started
        fed = feeder.wait() if feeder else 0
        if process.returncode or fed:
            said.seek(0)
            tail = said.read()[-2000:].decode(errors="replace")
            raise Internal(
                f"{command[0]} ended with {process.returncode} (its input with {fed}): {tail}",
                reason="BENCH_PROGRAM_FAILED",
                hint="Run the command by hand; it must succeed before it can be measured.",
            )
    return Cost(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss << 10)


def run_ours(command: Sequence[str]) -> tuple[Cost, dict[str, Any]]:
    """Run one of our programs, which prints a JSON object whose ``seconds`` leave out Python's start."""
    with tempfile.TemporaryFile() as output:
        cost = run(command, output=output)
        output.seek(0)
        facts: dict[str, Any] = json.load(output)
    return replace(cost, seconds=float(facts["seconds"])), facts


def _end(process: subprocess.Popen[bytes]) -> None:
    """Nothing goes on when the benchmark is ended in the middle."""
    if process.poll() is None:
        process.kill()
        process.wait()
