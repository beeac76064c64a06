"""One side of a copy from mover to mover as a process of its own, which may kill itself at a step.

``python -m tests.faults.mover.replica_work keep FOLDER HOST:PORT STEP``, or ``send …``; it prints a line when
it serves or has sent. STEP 0 lives.
"""

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from xenkeep.mover.v1.replica_pb2 import PutObjectRequest

from services.mover.adapters import grpc_replica
from services.mover.app.arrivals import Arrival
from services.mover.repository import DirectoryStore
from tests.integration.mover.replica_site import ReplicaSite, SendingSite

_count = 0
_lock = threading.Lock()


def step(at: int) -> None:
    """Die if this is the step to die at; without a trace, as a machine does."""
    global _count
    with _lock:
        _count += 1
        if _count == at:
            os.kill(os.getpid(), signal.SIGKILL)


def dying_around(at: int, call: Callable[..., Any]) -> Callable[..., Any]:
    """``call``, with a step before and one after it."""

    def wrapped(*args: Any, **more: Any) -> Any:
        step(at)
        result = call(*args, **more)
        step(at)
        return result

    return wrapped


async def keep(folder: Path, address: str, at: int) -> None:
    """A step before and after every message that is taken, every file that is read back, every object."""
    for owner, name in ((Arrival, "take"), (Arrival, "content"), (DirectoryStore, "put")):
        setattr(owner, name, dying_around(at, getattr(owner, name)))
    async with ReplicaSite(folder, address).serving():
        print("serving", flush=True)
        await asyncio.Event().wait()


async def send(folder: Path, address: str, at: int) -> None:
    """A step before every message that is sent."""
    write = grpc_replica._write

    async def dying(call: Any, request: PutObjectRequest) -> bool:
        step(at)
        return await write(call, request)

    grpc_replica._write = dying
    site = SendingSite(folder)
    with site.repository:
        await site.copy(address)
    print("sent", flush=True)


if __name__ == "__main__":
    role, folder, address, at = sys.argv[1:]
    asyncio.run({"keep": keep, "send": send}[role](Path(folder), address, int(at)))
