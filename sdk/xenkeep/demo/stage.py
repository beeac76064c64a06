"""What every scene of the story works with, and the report it writes into."""

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from xenkeep.client import Client
from xenkeep.demo.peers import Peers
from xenkeep.demo.pool import Guest, PoolControl
from xenkeep.errors import Error
from xenkeep.local.supervisor import Supervisor
from xenkeep.scheduler.v1 import run_pb2

REPOSITORY = "demo"
POLICY = "demo"


@dataclass
class Report:
    """``data`` is the report, ``details`` what else is worth keeping. A failed check lets the story go on,
    and ``ok`` is false.
    """

    data: dict[str, Any] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=lambda: {"vms": [], "notices": []})

    def write(self, path: Path, seconds: float) -> dict[str, Any]:
        """Write the report and, beside it, ``details.json``; returns the report."""
        whole = {"ok": not self.failed, "duration_seconds": round(seconds, 1), **self.data}
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, whole)
        _write(path.with_name("details.json"), {"failed_checks": self.failed, **self.details})
        return whole


def _write(path: Path, data: object) -> None:
    path.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")


@dataclass
class Stage:
    """``say`` prints a line; ``expected`` maps a disk to its SHA-256 at the second run, being computed."""

    folder: Path
    client: Client
    control: PoolControl
    supervisor: Supervisor
    peers: Peers
    guests: list[Guest]
    rng: Random
    report: Report
    say: Callable[[str], None]
    https_port: int
    expected: dict[str, asyncio.Task[str]] = field(default_factory=dict)

    def check(self, holds: bool, what: str) -> bool:
        """Say whether something holds and remember when it does not."""
        self.say(f"    {'ok  ' if holds else 'FAIL'} {what}")
        if not holds:
            self.report.failed.append(what)
        return holds

    async def run(
        self, *, full: bool = False, at_bytes: int = 0, then: Callable[[], None] | None = None
    ) -> run_pb2.Run:
        """Execute the policy and wait; when its tasks have read ``at_bytes``, do ``then`` once."""
        return await asyncio.to_thread(self._run, full, at_bytes, then)

    def _run(self, full: bool, at_bytes: int, then: Callable[[], None] | None) -> run_pb2.Run:
        run = self.client.runs.start_policy(f"policies/{POLICY}", full=full)
        for run in self.client.runs.watch(run.name):  # noqa: B020 - the last one is wanted
            read = sum(task.progress.read_bytes for task in run.tasks)
            if then is not None and read >= at_bytes:
                then()
                then = None
        if then is not None:
            raise Error(
                "Internal",
                "DEMO_TOO_FAST",
                "The run ended before the failure of the story could happen in it.",
            )
        return run


def seconds_of(run: run_pb2.Run) -> float:
    """How long a run took."""
    return (run.end_time.ToNanoseconds() - run.create_time.ToNanoseconds()) / 1e9


def complaints(run: run_pb2.Run) -> str:
    """Why a run did not succeed, in one line."""
    texts = [
        run.failure.message,
        *(f"{task.subject_display_name}: {task.failure.message}" for task in run.tasks),
    ]
    return "; ".join(text for text in texts if text and not text.endswith(": "))


def stopwatch() -> Callable[[], float]:
    """Seconds since now."""
    started = time.monotonic()
    return lambda: time.monotonic() - started
