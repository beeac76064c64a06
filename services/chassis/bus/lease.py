"""Working on a message without losing it to another worker, or at least knowing when it is lost."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from nats.aio.msg import Msg

from services.chassis.bus.nats_bus import Bus
from services.chassis.clock import Clock
from services.chassis.errors import Aborted

T = TypeVar("T")


async def while_held(bus: Bus, message: Msg, lease_s: float, clock: Clock, work: Coroutine[Any, Any, T]) -> T:
    """The result of ``work``, during which JetStream keeps ``message`` for us.

    It is told so every third of ``lease_s`` (the consumer's ``ack_wait``). When it has not confirmed for a
    whole lease it may have given the message to somebody else: ``work`` is cancelled and Aborted
    WORK_LEASE_LOST raised.
    """
    working = asyncio.ensure_future(work)
    keeping = asyncio.ensure_future(_keep(bus, message, lease_s, clock))
    try:
        await asyncio.wait({working, keeping}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        await keeping
    finally:
        for task in (working, keeping):
            task.cancel()
        await asyncio.gather(working, keeping, return_exceptions=True)
    raise Aborted(
        f"For {lease_s:g} s the bus could not be told that we still work; another worker may have begun.",
        reason="WORK_LEASE_LOST",
        hint="The work is delivered again when NATS can be reached.",
    )


async def _keep(bus: Bus, message: Msg, lease_s: float, clock: Clock) -> None:
    confirmed = clock.monotonic()
    while clock.monotonic() - confirmed < lease_s:
        await clock.sleep(lease_s / 3)
        asked = clock.monotonic()
        if await bus.keep(message, lease_s / 3):
            confirmed = asked
