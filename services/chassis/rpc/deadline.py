"""A question without a deadline can hang for ever; it is refused. Streams may be open-ended."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.chassis.errors import InvalidInput
from services.chassis.rpc.call import Call


@asynccontextmanager
async def deadline_required(call: Call) -> AsyncIterator[None]:
    """A ``Guard`` that raises InvalidInput DEADLINE_REQUIRED for unary calls without one."""
    if call.unary and call.context.time_remaining() is None:
        raise InvalidInput(
            f"{call.method} was called without a deadline.",
            reason="DEADLINE_REQUIRED",
            hint="Set a timeout on the call.",
        )
    yield
