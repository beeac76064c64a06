"""The line is as long as it says, and a copy gets over it; how much of it is used is not tested."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench.wan.__main__ import main
from tests.bench.wan.line import Line, strung

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not Path("/dev/net/tun").exists() or shutil.which("ip") is None,
    reason="network namespaces and TUN devices need root, /dev/net/tun and ip",
)
_ROUND_TRIP = """
import socket, sys, time
way = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
way.connect((sys.argv[1], 9))
began = time.monotonic()
try:
    way.send(b"?")
    way.recv(1)
except ConnectionRefusedError:
    print(time.monotonic() - began)
"""


def test_a_packet_and_its_answer_take_twice_the_delay() -> None:
    with strung(Line(1e8, 0.1), f"xt{os.getpid()}") as (near, far):
        command = near.command(sys.executable, "-c", _ROUND_TRIP, far.address)
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert float(done.stdout) >= 0.2
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    assert near.namespace not in listed and far.namespace not in listed


def test_a_copy_over_the_line_is_reported(tmp_path: Path) -> None:
    report = tmp_path / "wan.json"
    main(["--mib", "2", "--more-mib", "0", "--small", "0", "--delay-ms", "5", "--report", str(report)])
    found = json.loads(report.read_text())["copy"]
    assert found["bytes"] > 2 << 20 and found["points"] == 8
    assert 0 < found["line_share"] < 1 and found["beyond_its_bytes_s"] > 0
    assert 0 < found["plain_tcp"]["line_share"] < 1
