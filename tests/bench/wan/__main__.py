"""How much of a long line a copy from mover to mover uses: ``make bench-wan``. Needs root (namespaces).

Run: python -m tests.bench.wan --report build/bench/wan.json [--mib 256] [--mbit 100] [--delay-ms 25]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

from services.chassis.pki import issue
from tests.bench.machine import machine, versions
from tests.bench.wan.line import End, Line, strung
from tests.integration.mover.replica_site import MIB, SendingSite
from tests.support.pki import tls_for

PORT = 7102
POINTS = 8
SMALL_BYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class Points:
    """So many new points whose disks have so many bytes, copied together under a name."""

    name: str
    count: int
    size: int


def measure(line: Line, points: Sequence[Points], work: Path) -> dict[str, object]:
    """Copies of points of incompressible disks, one after the other to the same place, each connecting anew;
    beside each as many bytes by one plain connection.
    """
    tls_for(work / "pki", "mover")
    with strung(line, f"xk{os.getpid()}") as (near, far):
        issue(work / "pki", "mover", [far.address])
        copies: dict[str, dict[str, Any]] = {}
        with _running(far, "keep", work / "keeping", far.address):
            for some in points:
                _back_up(work / "sending", some)
                copies[some.name] = _done(near, "send", work / "sending", far.address)
        plain: dict[str, dict[str, Any]] = {}
        for name, copy in copies.items():
            with _running(far, "drink", work, far.address):
                plain[name] = _done(near, "pour", work, far.address, str(copy["bytes"]))
    return {name: _judged(copy, plain[name], line) for name, copy in copies.items()}


def _back_up(folder: Path, some: Points) -> None:
    site = SendingSite(folder, pack_bytes=32 * MIB)
    with site.repository:
        for number in range(some.count):
            name = f"{some.name}-{number}"
            site.back_up(name, some.size, crc32(name.encode()))


def _judged(copy: Mapping[str, Any], plain: Mapping[str, Any], line: Line) -> dict[str, Any]:
    """With what it took beyond the time its bytes need on a line that does nothing else."""
    beyond = float(copy["seconds"]) - 8 * float(copy["bytes"]) / line.bits_per_second
    return {
        **copy,
        "line_share": _share(copy, line),
        "beyond_its_bytes_s": round(beyond, 3),
        "plain_tcp": {**plain, "line_share": _share(plain, line)},
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
    parser.add_argument("--mib", type=int, default=256, help="in eight points")
    parser.add_argument("--more-mib", type=int, default=4, help="then, in one point; 0 copies no more")
    parser.add_argument("--small", type=int, default=100, help="points of 64 KiB: three objects each; or 0")
    parser.add_argument("--mbit", type=float, default=100.0)
    parser.add_argument("--delay-ms", type=float, default=25.0, help="one way")
    parser.add_argument("--loss", type=float, default=0.0, help="share of the packets, 0 to 1")
    chosen = parser.parse_args(arguments)
    line = Line(chosen.mbit * 1e6, chosen.delay_ms / 1e3, chosen.loss)
    points = [
        Points("copy", POINTS, chosen.mib * MIB // POINTS),
        Points("more", 1, chosen.more_mib * MIB),
        Points("small", chosen.small, SMALL_BYTES),
    ]
    points = [some for some in points if some.count and some.size]
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
            **measure(line, points, work),
        }
    report["load_average"] = {"before": load, "after": os.getloadavg()}
    chosen.report.parent.mkdir(parents=True, exist_ok=True)
    chosen.report.write_text(json.dumps(report, indent=2) + "\n")
    for some in points:
        found: Any = report[some.name]
        print(
            f"{some.name}: {found['line_share']:.1%} of the line, {found['seconds']:.2f} s,"
            f" {found['beyond_its_bytes_s']:.2f} s beyond its bytes;"
            f" plain TCP: {found['plain_tcp']['line_share']:.1%}, {found['plain_tcp']['seconds']:.2f} s"
        )


if __name__ == "__main__":
    main()
