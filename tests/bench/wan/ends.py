"""What runs at the ends of a line: a mover's door for copies, a repository that sends, and plain TCP.

``python -m tests.bench.wan.ends keep|send|drink|pour FOLDER HOST:PORT [BYTES]``; prints a line when it
serves, or how long it took.
"""

import asyncio
import json
import logging
import socket
import sys
import time
from pathlib import Path

import structlog

from tests.integration.mover.replica_site import ReplicaSite, SendingSite

PIECE = 256 << 10


async def keep(folder: Path, address: str) -> None:
    async with ReplicaSite(folder, address).serving():
        print("serving", flush=True)
        await asyncio.Event().wait()


async def send(folder: Path, address: str) -> None:
    site = SendingSite(folder)
    with site.repository:
        began = time.monotonic()
        report = await site.copy(address)
        seconds = time.monotonic() - began
    told = {
        "bytes": report.copied_bytes,
        "packs": report.copied_packs,
        "points": len(report.copied_points),
        "seconds": seconds,
        "peak_rss_mib": _peak_mib(),
    }
    print(json.dumps(told | {"notices": site.notices}), flush=True)


def _peak_mib() -> int:
    """Of this program: what getrusage says counts who started it as well."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) >> 10


def drink(address: str) -> None:
    """Take everything of one connection and say so."""
    host, _, port = address.rpartition(":")
    with socket.create_server((host, int(port))) as server:
        print("serving", flush=True)
        taken, _ = server.accept()
        with taken:
            while taken.recv(PIECE):
                pass
            taken.sendall(b"!")


def pour(address: str, size: int) -> None:
    """So many bytes by one connection."""
    host, _, port = address.rpartition(":")
    piece = bytes(PIECE)
    began = time.monotonic()
    with socket.create_connection((host, int(port))) as way:
        for start in range(0, size, PIECE):
            way.sendall(piece[: size - start])
        way.shutdown(socket.SHUT_WR)
        way.recv(1)
    print(json.dumps({"bytes": size, "seconds": time.monotonic() - began}), flush=True)


def _log_to_stderr_what_is_wrong() -> None:
    """Nobody reads on after the line that says that it serves: a full pipe would stop us."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


if __name__ == "__main__":
    _log_to_stderr_what_is_wrong()
    role, folder, address, *size = sys.argv[1:]
    if role in ("keep", "send"):
        asyncio.run({"keep": keep, "send": send}[role](Path(folder), address))
    elif role == "drink":
        drink(address)
    else:
        pour(address, int(size[0]))
