"""Small helpers every use case has."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar
from weakref import WeakValueDictionary

T = TypeVar("T")

Passed = Callable[[str], None]
"""Told the name of each step that is done; a test dies there."""


def nobody(_step: str) -> None:
    """Nobody wants to know."""


class Locks:
    """One lock per id, kept as long as somebody holds or awaits it."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def of(self, key: str) -> asyncio.Lock:
        return self._locks.setdefault(key, asyncio.Lock())


class Ongoing:
    """Work that goes on when its caller has given up; whoever asks for the same again joins it.

    A pool does not stop what it was asked for because a caller's deadline passed: asking it again meanwhile
    could have it done twice.
    """

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[Any]] = {}

    async def join(self, key: str, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """The result of the work under way for ``key``, or of ``work``."""
        task: asyncio.Task[T] | None = self._tasks.get(key)
        if task is None:
            task = self._tasks[key] = asyncio.create_task(work(), name=key)
            task.add_done_callback(self._done)
        return await asyncio.shield(task)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.pop(task.get_name(), None)
        if not task.cancelled():
            task.exception()  # somebody may have given up waiting for it
