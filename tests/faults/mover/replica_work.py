"""One side of a copy from mover to mover as a process of its own, which may kill itself at a step.

``python -m tests.faults.mover.replica_work keep FOLDER HOST:PORT STEP``, or ``send …``; it prints a line when
it serves or has sent. STEP 0 lives.
"""

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from xenkeep.mover.v1.replica_pb2 import PutObjectRequest, PutObjectsRequest

from services.mover.adapters import grpc_sending
from services.mover.adapters.grpc_small_objects import SmallObjects
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


@contextmanager
def before_each_message(look: Callable[[int], Awaitable[None]]) -> Iterator[None]:
    """``look`` is called before each message of a sender, with its bytes of objects."""
    write, answered = grpc_sending._write, SmallObjects._answered

    async def writing(call: Any, request: PutObjectRequest) -> bool:
        await look(len(request.data.data))
        return await write(call, request)

    async def asking(self: SmallObjects, ask: Any, request: Any, *more: Any) -> Any:
        several = request.objects if isinstance(request, PutObjectsRequest) else ()
        await look(sum(len(each.data) for each in several))
        return await answered(self, ask, request, *more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grpc_sending, "_write", writing)
        patch.setattr(SmallObjects, "_answered", asking)
        yield


async def keep(folder: Path, address: str, at: int) -> None:
    """A step before and after every message that is taken, every file that is read back, every object."""
    for owner, name in ((Arrival, "take"), (Arrival, "content"), (DirectoryStore, "put")):
        setattr(owner, name, dying_around(at, getattr(owner, name)))
    async with ReplicaSite(folder, address).serving():
        print("serving", flush=True)
        await asyncio.Event().wait()


async def send(folder: Path, address: str, at: int) -> None:
    """A step before every message that is sent."""

    async def look(_: int) -> None:
        step(at)

    site = SendingSite(folder)
    with site.repository, before_each_message(look):
        await site.copy(address)
    print("sent", flush=True)


if __name__ == "__main__":
    role, folder, address, at = sys.argv[1:]
    asyncio.run({"keep": keep, "send": send}[role](Path(folder), address, int(at)))
