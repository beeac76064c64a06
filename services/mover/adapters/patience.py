"""Repeating a call until a neighbour that is away answers again."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from services.chassis.clock import Clock
from services.chassis.errors import Unavailable

T = TypeVar("T")
_log = structlog.get_logger("xenkeep.mover")


class Patience:
    """``seconds`` in all; pauses grow from ``first_pause`` to ``longest_pause`` seconds."""

    def __init__(
        self, clock: Clock, *, seconds: float = 600.0, first_pause: float = 0.5, longest_pause: float = 15.0
    ) -> None:
        self._clock = clock
        self._seconds = seconds
        self._first_pause = first_pause
        self._longest_pause = longest_pause

    async def until_answered(self, call: Callable[[], Awaitable[T]]) -> T:
        """What ``call`` returns. Raises Unavailable when it did so too long, and anything else at once."""
        began = self._clock.monotonic()
        pause = self._first_pause
        while True:
            try:
                return await call()
            except Unavailable as error:
                if self._clock.monotonic() - began + pause > self._seconds:
                    raise
                _log.warning(
                    "a neighbour is waited for", reason=error.reason, error=error.message, pause_s=pause
                )
                await self._clock.sleep(pause)
                pause = min(2 * pause, self._longest_pause)
