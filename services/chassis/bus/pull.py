"""One message at a time from a JetStream consumer, through restarts of NATS and the loss of the consumer
itself.
"""

import asyncio
from collections.abc import Callable
from typing import Self

import nats.errors
import structlog
from nats.aio.msg import Msg
from nats.js import JetStreamContext, api

from services.chassis.bus.nats_bus import Bus
from services.chassis.cancelled import is_cancelled, raise_if_cancelled
from services.chassis.clock import Clock
from services.chassis.errors import Unavailable

_ASK_S = 3.0
"""A request dies with the server it was sent to; asking again this often bounds the silence that follows."""
_PAUSE_S = 1.0
Configure = Callable[[int], api.ConsumerConfig]
_log = structlog.get_logger("xenkeep.bus")


class Pull:
    """Makes the consumer when first used, and again when it is gone. One ``Pull`` serves one task.

    ``config`` is asked what to make, given the stream sequence of the last message seen, at first
    ``last_seen``.
    """

    def __init__(self, bus: Bus, stream: str, config: Configure, clock: Clock, *, last_seen: int = 0) -> None:
        self._bus = bus
        self._stream = stream
        self._config = config
        self._last_seen = last_seen
        self._clock = clock
        self._acknowledged = False
        self._subscription: JetStreamContext.PullSubscription | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._let_go()
        await self._drop()

    async def next(self) -> Msg:
        """The next message, however long it takes. Raises Unavailable BUS_UNAVAILABLE when the bus was
        closed.
        """
        while True:
            raise_if_cancelled()
            await self._bus.connected.wait()
            try:
                subscription = await self._subscribed()
                message = (await subscription.fetch(1, timeout=_ASK_S))[0]
                if is_cancelled():
                    await self._bus.give_back(message)
                    continue
                self._last_seen = message.metadata.sequence.stream
                return message
            except nats.errors.ConnectionClosedError as error:
                raise self._bus.unavailable("it was closed") from error
            except TimeoutError:
                continue
            except (nats.errors.Error, OSError) as error:
                _log.warning("consumer is made again", stream=self._stream, error=str(error))
                await self._drop()
                await self._clock.sleep(_PAUSE_S)

    async def _subscribed(self) -> JetStreamContext.PullSubscription:
        if self._subscription is None:
            config = self._config(self._last_seen)
            self._acknowledged = config.ack_policy is api.AckPolicy.EXPLICIT
            info = await self._bus.js.add_consumer(self._stream, config)
            self._subscription = await self._bus.js.pull_subscribe_bind(
                consumer=info.name, stream=self._stream
            )
        return self._subscription

    async def _let_go(self) -> None:
        """What was on its way when we stopped asking is given back: nobody waits for its ``ack_wait``."""
        if self._subscription is None or not self._acknowledged or not self._bus.connected.is_set():
            return
        inner = self._subscription._sub
        leaving = asyncio.ensure_future(inner.drain())  # type: ignore[no-untyped-call]
        try:
            await self._bus.settle()  # drain has told the server by now
            await self._bus.settle()  # what the server had sent before is here
            while inner.pending_msgs:
                message = await inner.next_msg(timeout=_ASK_S)
                if message.reply:  # not a word about an earlier request
                    await self._bus.give_back(message)
        except (nats.errors.Error, TimeoutError, Unavailable) as error:
            _log.debug("what was on its way comes again later", error=str(error))
        finally:
            leaving.cancel()
            await asyncio.gather(leaving, return_exceptions=True)

    async def _drop(self) -> None:
        subscription, self._subscription = self._subscription, None
        if subscription is None:
            return
        try:
            await subscription.unsubscribe()
        except nats.errors.Error as error:
            _log.debug("subscription was gone already", error=str(error))
