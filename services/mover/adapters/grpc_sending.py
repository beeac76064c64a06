"""Sending one object to a mover of another site."""

import asyncio
import hashlib
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Final

import grpc
from xenkeep.mover.v1 import replica_pb2, replica_pb2_grpc

from services.chassis.errors import Internal, Unavailable
from services.mover.adapters.grpc_peer import Peer
from services.mover.adapters.pace import Pace
from services.mover.domain.replica import SMALL_BYTES, Announced, Outcome, Taken
from services.mover.repository.format.damaged import damaged
from services.mover.wire.replica import announced_to_proto, taken_from_proto

if TYPE_CHECKING:
    Stub = replica_pb2_grpc.ReplicaServiceAsyncStub

MESSAGE_BYTES: Final = 256 << 10
EAGER_BYTES: Final = SMALL_BYTES
"""Objects up to this size are sent without waiting for what the peer says of them first."""
WINDOW_BYTES: Final = 16 << 20
"""Sent and not known to be durable, for each stream."""


class Sending:
    """One object on its way, over as many streams as it takes."""

    def __init__(
        self, stub: "Stub", what: Announced, data: memoryview, pace: Pace, peer: Peer, line: asyncio.Semaphore
    ) -> None:
        """Large objects take their turns at ``line``."""
        self._stub, self._what, self._data, self._pace = stub, what, data, pace
        self._peer, self._line = peer, line
        self._news = asyncio.Event()
        self.durable = 0

    async def attempt(self) -> None:
        """From what is durable there to the end."""
        call: Any = self._stub.PutObject()
        hearing: asyncio.Task[Outcome] | None = None
        try:
            start = replica_pb2.PutObjectRequest(start=announced_to_proto(self._what))
            await self._peer.in_time(_write(call, start))
            small = len(self._data) <= EAGER_BYTES
            taken = Taken(0) if small else await self._peer.in_time(self._heard(call))
            outcome = taken.outcome
            if outcome == Outcome.UNDER_WAY:
                hearing = asyncio.ensure_future(self._hear(call))
                hearing.add_done_callback(lambda _: self._news.set())
                async with nullcontext() if small else self._line:
                    await self._send(call, taken.durable, hearing)
                while not hearing.done():
                    await self._progress()
                outcome = await hearing
        finally:
            call.cancel()
            if hearing is not None:
                hearing.cancel()
                await asyncio.gather(hearing, return_exceptions=True)
        if outcome == Outcome.EXISTS:
            raise self._peer.exists(self._what.name)

    def require_announced(self) -> None:
        """Raises DataLoss when it is we who have something else than we said."""
        if hashlib.sha256(self._data).digest() != self._what.sha256:
            raise damaged(self._what.name, "its content is not what its name says")

    async def _send(self, call: Any, offset: int, hearing: "asyncio.Task[Outcome]") -> None:
        while offset < len(self._data) and not hearing.done():
            if offset - self.durable >= WINDOW_BYTES:
                await self._progress()
                continue
            part = self._data[offset : offset + MESSAGE_BYTES]
            if self._pace.limited:
                await self._pace.wait_in_loop(len(part))
            data = replica_pb2.PutObjectRequest.Data(offset=offset, data=bytes(part))
            if not await self._peer.in_time(_write(call, replica_pb2.PutObjectRequest(data=data))):
                return  # why, is heard
            offset += len(part)

    async def _progress(self) -> None:
        """More is durable, or the stream has ended."""
        self._news.clear()
        await self._peer.in_time(self._news.wait())

    async def _hear(self, call: Any) -> Outcome:
        while True:
            before = self.durable
            taken = await self._heard(call)
            if taken.outcome != Outcome.UNDER_WAY:
                return taken.outcome
            if self.durable > before:
                self._news.set()

    async def _heard(self, call: Any) -> Taken:
        response = await call.read()
        if response is grpc.aio.EOF:
            raise Unavailable(f"{self._peer.name} ended the stream.", reason="REPLICA_STREAM_ENDED")
        taken = taken_from_proto(response)
        if taken.durable > len(self._data):
            raise Internal(
                f"{self._peer.name} says it has {taken.durable} of {len(self._data)} bytes of"
                f" {self._what.name}.",
                reason="REPLICA_IMPOSSIBLE",
                hint="Is it the mover that should keep the copy? Look at what it runs.",
            )
        self.durable = max(self.durable, taken.durable)
        return taken


async def _write(call: Any, request: replica_pb2.PutObjectRequest) -> bool:
    """False when the call has ended: whoever reads from it hears why."""
    try:
        await call.write(request)
    except asyncio.InvalidStateError:
        return False
    return True
