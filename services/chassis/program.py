"""A process: components started in order, run together, stopped in reverse.

A component is an async context manager, or has ``run()``, or both: then ``run`` goes on between entering and
leaving. Listed later means depending on what is listed before: it is stopped first. The first failure stops
everything.
"""

import asyncio
import signal
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from datetime import timedelta
from typing import Any, Protocol

import structlog

from services.chassis.errors import DeadlineExceeded, Internal


class Runs(Protocol):
    """Something that goes on until it is cancelled; ending before that is a failure."""

    async def run(self) -> None: ...


Component = AbstractAsyncContextManager[Any] | Runs
_log = structlog.get_logger("xenkeep.program")


async def run(*components: Component, grace: timedelta = timedelta(seconds=20)) -> None:
    """Start ``components``, log ``ready``, and stop them on SIGTERM or SIGINT.

    Raises what the first failing component raised; DeadlineExceeded SHUTDOWN_TOO_SLOW when stopping takes
    longer than ``grace``, or is cut short by a second signal.
    """
    loop = asyncio.get_running_loop()
    life = _Life(components, grace)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, life.signalled, number)
    try:
        await life.whole()
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
    _log.info("stopped")


class _Life:
    def __init__(self, components: Sequence[Component], grace: timedelta) -> None:
        self._components = components
        self._grace = grace
        self._alarm: asyncio.TimerHandle | None = None
        self._ending = False
        self._asked = False
        self._cut_short = False

    async def whole(self) -> None:
        self._task = asyncio.ensure_future(self._live())
        try:
            await self._task
        except asyncio.CancelledError:
            if self._cut_short:
                raise DeadlineExceeded(
                    f"Stopping was cut short after {self._grace.total_seconds():g} s or by a second signal.",
                    reason="SHUTDOWN_TOO_SLOW",
                    hint="What was acknowledged is kept; raise XENKEEP_SHUTDOWN_GRACE if this happens often.",
                ) from None
            if not self._asked:
                self._task.cancel()
                raise
        finally:
            if self._alarm is not None:
                self._alarm.cancel()

    def signalled(self, number: int) -> None:
        _log.info("stopping", signal=signal.Signals(number).name)
        if self._asked:
            self._insist()
        self._asked = True
        self.end()

    def end(self) -> None:
        """Begin to stop, unless that has begun: whoever is being stopped in order must not be disturbed."""
        if not self._ending:
            self._ending = True
            self._task.cancel()
        if self._alarm is None:
            self._alarm = self._task.get_loop().call_later(self._grace.total_seconds(), self._insist)

    def _insist(self) -> None:
        self._cut_short = True
        self._task.cancel()
        # Something may swallow this too; the process must end all the same.
        self._alarm = self._task.get_loop().call_later(1.0, self._insist)

    async def _live(self) -> None:
        async with AsyncExitStack() as stack:
            try:
                for component in self._components:
                    if isinstance(component, AbstractAsyncContextManager):
                        await stack.enter_async_context(component)
                    if hasattr(component, "run"):
                        await stack.enter_async_context(_Running(component, self))
                _log.info("ready")
                await asyncio.Event().wait()
            finally:
                self._ending = True


class _Running:
    """A component's ``run()`` as a task that ends the program when it ends by itself."""

    def __init__(self, component: Any, life: _Life) -> None:
        self._component = component
        self._life = life

    async def __aenter__(self) -> None:
        self._task = asyncio.ensure_future(self._component.run())
        self._task.add_done_callback(lambda _: self._life.end())

    async def __aexit__(self, *_: object) -> None:
        by_itself = self._task.done()
        self._task.cancel()
        await asyncio.wait({self._task})
        if self._task.cancelled():
            return
        if (error := self._task.exception()) is not None:
            raise error
        if by_itself:
            raise Internal(f"{type(self._component).__name__} ended by itself.", reason="COMPONENT_ENDED")
