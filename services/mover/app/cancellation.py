"""Stopping work that runs in threads of this process."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

from services.chassis.errors import Cancelled

P = ParamSpec("P")
T = TypeVar("T")


class Cancellation:
    """The wish that something stops. Safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.event = threading.Event()
        self._actions: list[Callable[[], None]] = []

    @property
    def wanted(self) -> bool:
        return self.event.is_set()

    def when_wanted(self, action: Callable[[], None]) -> None:
        """Call ``action`` once it is wanted, at once if it already is."""
        with self._lock:
            if not self.wanted:
                self._actions.append(action)
                return
        action()

    def request(self) -> None:
        with self._lock:
            self.event.set()
            actions, self._actions = self._actions, []
        for action in actions:
            action()

    def part(self) -> "Cancellation":
        """One that is wanted when this one is, and can be requested without this one."""
        part = Cancellation()
        self.when_wanted(part.request)
        return part

    def check(self) -> None:
        """Raises Cancelled when it is wanted."""
        if self.wanted:
            raise Cancelled(
                "The transfer was cancelled.", reason="TRANSFER_CANCELLED", hint="Start it again if needed."
            )


async def in_thread(cancellation: Cancellation, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What ``work`` returns in a thread. Cancelled, it requests ``cancellation`` and waits for the thread:
    nobody goes on with a disk or a repository behind the back of whoever cleans up.
    """
    thread = asyncio.ensure_future(asyncio.to_thread(work, *args, **kwargs))
    try:
        return await asyncio.shield(thread)
    except asyncio.CancelledError:
        await asyncio.to_thread(cancellation.request)
        await asyncio.wait({thread})
        if not thread.cancelled():
            thread.exception()  # it ended as it was asked to: nobody else will look
        raise


def from_thread(loop: asyncio.AbstractEventLoop, call: Coroutine[Any, Any, T]) -> T:
    """What ``call`` returns on the event loop, for work ``in_thread``."""
    return asyncio.run_coroutine_threadsafe(call, loop).result()


async def unless_wanted(cancellation: Cancellation, call: Awaitable[T]) -> T:
    """What ``call`` returns; it is cancelled, and Cancelled raised, as soon as ``cancellation`` is wanted."""
    loop = asyncio.get_running_loop()
    rung = asyncio.Event()

    def wake_from_anywhere() -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(rung.set)

    working = asyncio.ensure_future(call)
    wanted = asyncio.ensure_future(rung.wait())
    cancellation.when_wanted(wake_from_anywhere)
    try:
        await asyncio.wait([working, wanted], return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        cancellation.check()
        raise AssertionError("unreachable")
    finally:
        wanted.cancel()
        working.cancel()
        await asyncio.gather(working, wanted, return_exceptions=True)
