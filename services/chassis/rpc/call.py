"""One call being served, and guards around it.

A guard is an async context manager entered before the servicer's method and left after it, whatever the shape
of the call; an exception it raises on the way in refuses the call.
"""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from typing import Any

import grpc


@dataclass(slots=True)
class Call:
    """``code`` and ``reason`` are filled in by whoever learns them; ``caller`` is "" until identified."""

    method: str
    unary: bool
    context: Any
    caller: str = ""
    code: grpc.StatusCode = grpc.StatusCode.OK
    reason: str = ""

    @property
    def service(self) -> str:
        """Full name of the service, for example ``xenkeep.catalog.v1.Catalog``."""
        return self.method.strip("/").rpartition("/")[0]

    @property
    def name(self) -> str:
        """Of the method within its service, for example ``GetRestorePoint``."""
        return self.method.rpartition("/")[2]


Guard = Callable[[Call], AbstractAsyncContextManager[None]]


class Guarded(grpc.aio.ServerInterceptor):
    """Puts every method inside ``guards``, the first outermost."""

    def __init__(self, *guards: Guard) -> None:
        self._guards = guards

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        unary = not handler.request_streaming and not handler.response_streaming
        enter = _Entrance(self._guards, handler_call_details.method, unary)
        if handler.response_streaming:
            make = grpc.stream_stream_rpc_method_handler if handler.request_streaming else _unary_stream
            inner = handler.stream_stream if handler.request_streaming else handler.unary_stream
            return make(enter.streaming(inner), handler.request_deserializer, handler.response_serializer)
        make = grpc.stream_unary_rpc_method_handler if handler.request_streaming else _unary_unary
        inner = handler.stream_unary if handler.request_streaming else handler.unary_unary
        return make(enter.single(inner), handler.request_deserializer, handler.response_serializer)


_unary_unary = grpc.unary_unary_rpc_method_handler
_unary_stream = grpc.unary_stream_rpc_method_handler


@dataclass(frozen=True, slots=True)
class _Entrance:
    guards: tuple[Guard, ...]
    method: str
    unary: bool

    def single(self, inner: Callable[..., Any]) -> Callable[..., Any]:
        async def guarded(request: Any, context: Any) -> Any:
            async with AsyncExitStack() as stack:
                await self._pass(stack, context)
                return await inner(request, context)

        return guarded

    def streaming(self, inner: Callable[..., Any]) -> Callable[..., Any]:
        async def guarded(request: Any, context: Any) -> Any:
            async with AsyncExitStack() as stack:
                await self._pass(stack, context)
                answers = inner(request, context)
                if hasattr(answers, "__aiter__"):
                    async for answer in answers:
                        yield answer
                else:  # the method writes to the context itself
                    await answers

        return guarded

    async def _pass(self, stack: AsyncExitStack, context: Any) -> None:
        call = Call(self.method, self.unary, context)
        for guard in self.guards:
            await stack.enter_async_context(guard(call))
