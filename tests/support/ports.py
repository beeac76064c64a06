"""Ports for servers that a test starts a moment later."""

import os
import socket
from contextlib import suppress
from random import Random

_BELOW_OUTGOING = range(10_000, 32_000)
"""Not those that outgoing connections get (Linux: from 32768): they come and go meanwhile."""
_WORKERS = 16
_given: set[int] = set()


def free_port(address: str = "0.0.0.0", kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A port nobody has at ``address``; by default at none. No other worker of this test run is given it."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "").removeprefix("gw")
    mine = _BELOW_OUTGOING[int(worker) % _WORKERS :: _WORKERS] if worker else _BELOW_OUTGOING
    random = Random()
    for _ in mine:
        port = random.choice(mine)
        if port in _given:
            continue
        with socket.socket(socket.AF_INET, kind) as probe, suppress(OSError):
            probe.bind((address, port))
            _given.add(port)
            return port
    raise AssertionError(f"no port of {address} is free")
