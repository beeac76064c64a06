"""The way out to another service.

Not built on grpc.aio's client interceptors: those put a queue and a task between the caller and a stream,
which packs of backup data would pay for.
"""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Self

import grpc
from opentelemetry import propagate

from services.chassis.rpc.faults import error_from_rpc, translated
from services.chassis.rpc.options import CHANNEL_OPTIONS
from services.chassis.tls import Renewals, TlsFiles, channel_credentials

__all__ = ["channel", "error_from_rpc", "translated"]
DEFAULT_DEADLINE = timedelta(seconds=30)
_LONGEST_CALL = timedelta(days=7)


def channel(
    target: str, tls: TlsFiles, default_deadline: timedelta = DEFAULT_DEADLINE, *, server_name: str = ""
) -> grpc.aio.Channel:
    """A channel to ``target`` (host:port) for generated stubs; connects when first used; close it, or ``async
    with``.

    Unary calls without a timeout get ``default_deadline``; every call carries the current trace.
    ``server_name`` is the name expected in the server's certificate when it is not the host of ``target``.
    """
    options = list(CHANNEL_OPTIONS)
    if server_name:
        options.append(("grpc.ssl_target_name_override", server_name))

    def dial() -> grpc.aio.Channel:
        return grpc.aio.secure_channel(target, channel_credentials(tls), options=options)

    return _Channel(dial, Renewals(tls), default_deadline.total_seconds())


class _Channel(grpc.aio.Channel):
    """Decorates the channel that ``dial`` makes; calls that begin after a renewal go by another one.

    Calls under way are left alone: the connection they have stays good when its certificate expires.
    """

    def __init__(
        self, dial: Callable[[], grpc.aio.Channel], renewals: Renewals, default_deadline_s: float
    ) -> None:
        self._dial = dial
        self._renewals = renewals
        self._default_deadline_s = default_deadline_s
        self._plain = dial()
        self._retired: dict[grpc.aio.Channel, asyncio.Task[None]] = {}

    def unary_unary(self, *args: Any, **kwargs: Any) -> Any:
        return self._traced(lambda plain: plain.unary_unary(*args, **kwargs), self._default_deadline_s)

    def unary_stream(self, *args: Any, **kwargs: Any) -> Any:
        return self._traced(lambda plain: plain.unary_stream(*args, **kwargs))

    def stream_unary(self, *args: Any, **kwargs: Any) -> Any:
        return self._traced(lambda plain: plain.stream_unary(*args, **kwargs))

    def stream_stream(self, *args: Any, **kwargs: Any) -> Any:
        return self._traced(lambda plain: plain.stream_stream(*args, **kwargs))

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        return self._plain.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        await self._plain.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        await self._plain.channel_ready()

    async def close(self, grace: float | None = None) -> None:
        for channel_, closing in list(self._retired.items()):
            closing.cancel()
            await channel_.close(grace)
        self._retired.clear()
        await self._plain.close(grace)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _current(self) -> grpc.aio.Channel:
        if self._renewals.renewed():
            old, self._plain = self._plain, self._dial()
            closing = asyncio.ensure_future(old.close(_LONGEST_CALL.total_seconds()))
            self._retired[old] = closing
            closing.add_done_callback(lambda _: self._retired.pop(old, None))
        return self._plain

    def _traced(
        self, shape: Callable[[grpc.aio.Channel], Callable[..., Any]], default_timeout: float | None = None
    ) -> Callable[..., Any]:
        way = self._plain
        start = shape(way)

        def call(*args: Any, timeout: float | None = None, metadata: Any = None, **kwargs: Any) -> Any:
            nonlocal way, start
            if (current := self._current()) is not way:
                way, start = current, shape(current)
            carrier: dict[str, str] = {}
            propagate.inject(carrier)
            headers = (*(metadata or ()), *carrier.items())
            return start(
                *args, timeout=default_timeout if timeout is None else timeout, metadata=headers, **kwargs
            )

        return call
