"""How much of a long line a copy from mover to mover uses: ``make bench-wan``. Needs root (namespaces).

Run: python -m tests.bench.wan --report build/bench/wan.json [--mib 512] [--mbit 100] [--delay-ms 25]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from services.chassis.pki import issue
from tests.bench.machine import machine, versions
from tests.bench.wan.line import End, Line, strung
from tests.integration.mover.replica_site import MIB, SendingSite
from tests.support.pki import tls_for

PORT = 7102
POINTS = 8


def measure(line: Line, size: int, work: Path) -> dict[str, object]:
    """A copy of eight points of incompressible disks, and then as many bytes by one plain connection."""
    tls_for(work / "pki", "mover")
    with strung(line, f"xk{os.getpid()}") as (near, far):
        issue(work / "pki", "mover", [far.address])
        site = SendingSite(work / "sending", pack_bytes=32 * MIB)
        with site.repository:
            for number in range(POINTS):
                site.back_up(f"point-{number}", size // POINTS, number)
        with _running(far, "keep", work / "keeping", far.address):
            copy = _done(near, "send", work / "sending", far.address)
        with _running(far, "drink", work, far.address):
            plain = _done(near, "pour", work, far.address, str(copy["bytes"]))
    share = _share(copy, line)
    return {
        "copy": copy | {"line_share": share},
        "plain_tcp": plain | {"line_share": _share(plain, line)},
        "line_share": share,
    }


def _share(done: Mapping[str, Any], line: Line) -> float:
    """Bits of data in the time, as a part of what the line carries: headers count as not used."""
    return round(8 * float(done["bytes"]) / float(done["seconds"]) / line.bits_per_second, 4)


def _command(end: End, role: str, folder: Path, address: str, *more: str) -> list[str]:
    python = [sys.executable, "-m", "tests.bench.wan.ends", role, str(folder), f"{address}:{PORT}", *more]
    return end.command(*python)


@contextmanager
def _running(end: End, role: str, folder: Path, address: str) -> Iterator[None]:
    with subprocess.Popen(_command(end, role, folder, address), stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"serving\n", f"{role} did not come up"
            yield
        finally:
            process.kill()


def _done(end: End, role: str, folder: Path, address: str, *more: str) -> dict[str, Any]:
    command = _command(end, role, folder, address, *more)
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--report", type=Path, required=True)
    parser.add_argument("--mib", type=int, default=512)
    parser.add_argument("--mbit", type=float, default=100.0)
    parser.add_argument("--delay-ms", type=float, default=25.0, help="one way")
    parser.add_argument("--loss", type=float, default=0.0, help="share of the packets, 0 to 1")
    chosen = parser.parse_args(arguments)
    line = Line(chosen.mbit * 1e6, chosen.delay_ms / 1e3, chosen.loss)
    load = os.getloadavg()
    with tempfile.TemporaryDirectory(prefix="xenkeep-wan-") as folder:
        work = Path(folder)
        report = {
            "started_time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "line": {
                "mbit_s": chosen.mbit,
                "one_way_delay_ms": chosen.delay_ms,
                "loss": chosen.loss,
                "buffer_ms": line.buffer_s * 1e3,
            },
            "machine": machine(work),
            "versions": versions(),
            **measure(line, chosen.mib * MIB, work),
        }
    report["load_average"] = {"before": load, "after": os.getloadavg()}
    chosen.report.parent.mkdir(parents=True, exist_ok=True)
    chosen.report.write_text(json.dumps(report, indent=2) + "\n")
    print(f"{report['line_share']:.1%} of the line; plain TCP: {report['plain_tcp']['line_share']:.1%}")  # type: ignore[index]


if __name__ == "__main__":
    main()
