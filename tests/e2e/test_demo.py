"""The demo as a newcomer runs it, left running and used from a second terminal."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.stack import PROGRAM

FIELDS = {
    "full": {"logical_bytes", "read_bytes", "stored_bytes", "seconds"},
    "incremental": {"changed_bytes", "read_bytes", "stored_bytes", "seconds", "read_amplification"},
    "host_failure": {"survived", "resumed_from_bytes"},
    "coordinator_failure": {"survived"},
    "restore": {"sha256_equal", "fsck_clean", "identity_equal"},
    "rebuild": {"points_before", "points_after"},
    "damage": {"found", "restore_refused"},
    "notified": {"syslog", "email", "sms"},
}
pytestmark = pytest.mark.timeout(600)


class Demo:
    """`xenkeep demo --keep` and what it said until everything keeps running."""

    def __init__(self, folder: Path) -> None:
        self.report_file = folder / "report.json"
        command = [PROGRAM, "demo", "--keep", "--report", str(self.report_file)]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=plain_environment()
        )
        self.said: list[str] = []
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line)
            if line.startswith("Ctrl-C"):
                break
        self.home = next(
            (line.partition("=")[2].strip() for line in self.said if "XENKEEP_HOME=" in line), ""
        )

    def run(self, *arguments: str) -> Any:
        """A command in another terminal, and its JSON."""
        done = subprocess.run(
            [PROGRAM, *arguments, "--json"],
            env=plain_environment() | {"XENKEEP_HOME": self.home},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done
        return json.loads(done.stdout)


def plain_environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if not key.startswith("XENKEEP_")}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    running = Demo(tmp_path_factory.mktemp("demo"))
    yield running
    if running.process.poll() is None:
        running.process.send_signal(signal.SIGINT)
        running.process.communicate()


def test_everything_holds_and_the_report_says_so(demo: Demo) -> None:
    assert demo.home, "".join(demo.said)
    report = json.loads(demo.report_file.read_text())

    assert report["ok"], "".join(demo.said)
    assert {"ok", "duration_seconds", "vms", *FIELDS} == set(report)
    assert FIELDS == {name: set(report[name]) for name in FIELDS}
    assert 4 == report["vms"]
    assert 20 << 30 < report["full"]["logical_bytes"]
    assert report["full"]["read_bytes"] < report["full"]["logical_bytes"] / 10
    assert report["incremental"]["read_amplification"] <= 1.3
    assert report["host_failure"]["resumed_from_bytes"] > 0
    assert report["rebuild"]["points_before"] == report["rebuild"]["points_after"] > 0
    assert all(report["notified"].values())


def test_the_end_is_a_table_of_every_vm_and_run(demo: Demo) -> None:
    rows = [line.split() for line in demo.said]
    start = rows.index(["VM", "RUN", "SIZE", "READ", "STORED", "SECONDS", "MIB/S"])

    vms = ["app", "db", "files", "web"]
    assert [[vm, run] for run in ("full", "incremental") for vm in vms] == [
        row[:2] for row in rows[start + 1 : start + 9]
    ]


def test_what_it_says_names_no_secret(demo: Demo) -> None:
    pool_password = Path(demo.home).with_name("pool-password").read_text()

    logs = [path.read_text() for path in Path(demo.home, "logs").iterdir()]

    assert not any(pool_password in text for text in ["".join(demo.said), *logs])
    assert not any("OpaqueRef:" in text for text in logs)


def test_it_can_be_used_from_a_second_terminal_while_it_is_kept(demo: Demo) -> None:
    status = demo.run("status")
    points = demo.run("point", "list", "--vm", "web")
    run = demo.run("backup", "web", "--to", "demo", "--wait")

    assert {"serving"} == {service["state"] for service in status.values()}
    assert points
    assert "STATE_SUCCEEDED" == run["state"]
    assert len(points) + 1 == len(demo.run("point", "list", "--vm", "web"))


def test_ctrl_c_ends_it_and_leaves_only_the_report_and_the_logs(demo: Demo) -> None:
    demo.process.send_signal(signal.SIGINT)
    out, _ = demo.process.communicate()

    assert 0 == demo.process.returncode, out
    assert not Path(demo.home).parent.exists()
    assert {"report.json", "details.json", "logs"} == {
        path.name for path in demo.report_file.parent.iterdir()
    }


def test_without_e2fsprogs_it_says_what_to_install(tmp_path: Path) -> None:
    """As on a machine that has no such tool."""
    report = tmp_path / "report.json"
    script = "import shutil; from xenkeep.cli.main import main; shutil.which = lambda *_, **__: None; main()"
    done = subprocess.run(
        [sys.executable, "-c", script, "demo", "--report", str(report)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert 6 == done.returncode, done
    assert "mke2fs is not installed" in done.stderr
    assert "apt install e2fsprogs" in done.stderr
    assert not report.exists()
