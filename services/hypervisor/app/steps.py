"""Small helpers every use case has."""

import asyncio
from collections.abc import Callable
from weakref import WeakValueDictionary

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
