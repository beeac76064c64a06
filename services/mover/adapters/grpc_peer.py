"""A mover at the other end of a line: asked again while there is a way, and not waited for without end."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final, Protocol, TypeVar

import grpc

from services.chassis.clock import Clock
from services.chassis.errors import (
    AlreadyExists,
    Cancelled,
    DataLoss,
    DeadlineExceeded,
    Internal,
    NotFound,
    Unavailable,
)
from services.chassis.rpc.channel import translated
from services.mover.domain.replica import ARRIVED_WRONG

T = TypeVar("T")
PATIENCE_SECONDS: Final = 600.0
SILENCE_SECONDS: Final = 120.0
"""A peer that is connected but says and takes nothing for so long is asked anew."""
_FIRST_PAUSE_SECONDS: Final = 0.2
_LONGEST_PAUSE_SECONDS: Final = 5.0
_CUT: Final = frozenset({"GRPC_CANCELLED", "GRPC_INTERNAL", "GRPC_UNKNOWN"})
"""How gRPC calls a stream that was cut, besides UNAVAILABLE."""


class Progress(Protocol):
    """What is asked for may get on although it fails: then patience begins anew."""

    durable: int
    """Bytes that the peer has for good."""

    def require_announced(self) -> None:
        """Raises DataLoss when it is we who have something else than we said."""
        ...


class Peer:
    """``name`` is for people. What fails for want of a line is done again, and told."""

    def __init__(self, name: str, clock: Clock, on_notice: Callable[[str, str], None]) -> None:
        self.name, self._clock, self._notice = name, clock, on_notice
        self._told = ""

    async def again(self, call: Callable[[], Awaitable[T]], sending: Progress | None = None) -> T:
        """Raises what the peer says, and Unavailable when nothing moves for PATIENCE_SECONDS."""
        pause, durable = _FIRST_PAUSE_SECONDS, 0
        failing_since: float | None = None
        while True:
            try:
                with translated(self.name):
                    answer = await call()
                self._told = ""
                return answer
            except (Unavailable, DeadlineExceeded, Cancelled, Internal) as error:
                if isinstance(error, (Cancelled, Internal)) and error.reason not in _CUT:
                    raise
                if sending is not None and error.reason == ARRIVED_WRONG:
                    await asyncio.to_thread(sending.require_announced)
                now = self._clock.monotonic()
                if sending is not None and sending.durable > durable:
                    pause, durable, failing_since = _FIRST_PAUSE_SECONDS, sending.durable, None
                if failing_since is None:
                    failing_since = now  # what came before may have waited for its hour
                if now - failing_since + pause > PATIENCE_SECONDS:
                    raise Unavailable(
                        f"{self.name} could not be reached for {PATIENCE_SECONDS:.0f} s: {error.message}",
                        reason="REPLICA_UNREACHABLE",
                        hint="Start the copy again when it can: what is there is not sent again.",
                    ) from error
                if error.message != self._told:  # once for all that ask, until there is an answer
                    self._notice("COPY_LINE_CUT", f"{error.message} It is tried again.")
                self._told = error.message
                await self._clock.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    async def in_time(self, answer: Awaitable[T]) -> T:
        """A peer whose connection lives may hang all the same: its disk, or the whole process stopped."""
        try:
            return await self._clock.wait(answer, SILENCE_SECONDS)
        except TimeoutError:
            raise DeadlineExceeded(
                f"{self.name} is connected, but has not moved for {SILENCE_SECONDS:.0f} s.",
                reason="REPLICA_SILENT",
                hint="Look at that mover's disk and its log.",
            ) from None

    async def answers(self, call: Any) -> AsyncIterator[Any]:
        """Those of a stream, each within its time; the stream ends with the last one that is wanted."""
        try:
            while (answer := await self.in_time(call.read())) is not grpc.aio.EOF:
                yield answer
        finally:
            call.cancel()

    def missing(self, name: str) -> NotFound:
        return NotFound(
            f"{name} does not exist at {self.name}.", reason="OBJECT_MISSING", metadata={"object": name}
        )

    def exists(self, name: str) -> AlreadyExists:
        return AlreadyExists(
            f"{name} exists already at {self.name}.", reason="OBJECT_EXISTS", metadata={"object": name}
        )

    def impossible(self, what: str) -> DataLoss:
        return DataLoss(
            f"{self.name} sends for {what} what no copy can hold.",
            reason="REPLICA_IMPOSSIBLE",
            hint="Is it the mover that should keep the copy? Look at what it runs.",
        )
