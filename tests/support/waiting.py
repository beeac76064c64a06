"""Waiting in tests: for what happens, never for time to pass."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")
PATIENCE_S = 300.0
"""How long what must come may take: so long that only a defect makes it longer, on any machine."""
PAUSE_S = 0.02


async def until(look: Callable[[], Awaitable[T]]) -> T:
    """What ``look`` finds, as soon as that is something; for what nobody announces: files, other processes.

    Raises TimeoutError after ``PATIENCE_S``.
    """
    async with asyncio.timeout(PATIENCE_S):
        while not (found := await look()):  # noqa: ASYNC110 - nobody announces it
            await asyncio.sleep(PAUSE_S)
    return found


async def until_true(condition: Callable[[], bool]) -> None:
    """Returns when ``condition`` holds; for what nobody announces, as ``until``."""

    async def look() -> bool:
        return condition()

    await until(look)
