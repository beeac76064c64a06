"""A mover of another site that keeps copies, by gRPC."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Final, TypeVar

import grpc
from xenkeep.mover.v1 import replica_pb2, replica_pb2_grpc

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
from services.mover.adapters.grpc_small_objects import SmallObjects
from services.mover.adapters.pace import Pace
from services.mover.domain.replica import ARRIVED_WRONG, SMALL_BYTES, Announced, Outcome, Small, Taken
from services.mover.repository import StoredObject
from services.mover.repository.format.damaged import damaged
from services.mover.repository.format.names import MAX_OBJECT_BYTES
from services.mover.wire.replica import (
    announced_to_proto,
    object_from_proto,
    replica_name,
    taken_from_proto,
)

if TYPE_CHECKING:
    Stub = replica_pb2_grpc.ReplicaServiceAsyncStub

T = TypeVar("T")
MESSAGE_BYTES: Final = 256 << 10
EAGER_BYTES: Final = SMALL_BYTES
"""Objects up to this size are sent without waiting for what the peer says of them first."""
WINDOW_BYTES: Final = 16 << 20
"""Sent and not known to be durable, for each stream."""
SENDING_AT_ONCE: Final = 2
"""Large objects. Others are announced or stored meanwhile, so that the line never waits for that."""
PATIENCE_SECONDS: Final = 600.0
SILENCE_SECONDS: Final = 120.0
"""A peer that is connected but says and takes nothing for so long is asked anew."""
MOST_LISTED: Final = 1_000_000
"""More objects than a prefix that a copy lists ever has; a peer that goes on is not listened to."""
_FIRST_PAUSE_SECONDS: Final = 0.2
_LONGEST_PAUSE_SECONDS: Final = 5.0
_QUICK_SECONDS: Final = 120.0
_CUT: Final = frozenset({"GRPC_CANCELLED", "GRPC_INTERNAL", "GRPC_UNKNOWN"})
"""How gRPC calls a stream that was cut, besides UNAVAILABLE."""


class GrpcReplica:
    """The copy of one repository at ``peer``. What fails for want of a line is done again, and told.

    Raises what the peer says, and Unavailable when nothing moves for PATIENCE_SECONDS. What the peer says is
    believed only as far as it can be: never more than an object's or a list's bounds.
    """

    def __init__(
        self,
        channel: grpc.aio.Channel,
        peer: str,
        repository_id: str,
        clock: Clock,
        on_notice: Callable[[str, str], None],
    ) -> None:
        self._stub: Stub = replica_pb2_grpc.ReplicaServiceStub(channel)
        self._peer, self._clock, self._notice = peer, clock, on_notice
        self._repository_id, self._name = repository_id, replica_name(repository_id)
        self._line = asyncio.Semaphore(SENDING_AT_ONCE)
        self._told = ""
        self._small = SmallObjects(self._stub, self._name, self._again)

    async def free_bytes(self) -> int:
        request = replica_pb2.GetReplicaRequest(name=self._name)
        return (await self._again(lambda: self._stub.GetReplica(request, timeout=_QUICK_SECONDS))).free_bytes

    async def size(self, name: str) -> int:
        found = await self._small.size(name)
        if found is not None and found >= 0:
            return found
        if found is not None:
            raise NotFound(
                f"{name} does not exist at {self._peer}.", reason="OBJECT_MISSING", metadata={"object": name}
            )
        request = replica_pb2.GetObjectRequest(parent=self._name, object=name)
        return (await self._again(lambda: self._stub.GetObject(request, timeout=_QUICK_SECONDS))).size_bytes

    async def list(self, prefix: str) -> Sequence[StoredObject]:
        request = replica_pb2.ListObjectsRequest(parent=self._name, prefix=prefix)

        async def listed() -> Sequence[StoredObject]:
            found: list[StoredObject] = []
            async for some in self._answers(self._stub.ListObjects(request)):
                found += map(object_from_proto, some.objects)
                if len(found) > MOST_LISTED or not all(
                    each.name.startswith(prefix) for each in found[-len(some.objects) :]
                ):
                    raise self._impossible(f"the list of {prefix or 'everything'}")
            return found

        return await self._again(listed)

    async def read(self, name: str) -> bytes:
        request = replica_pb2.ReadObjectRequest(parent=self._name, object=name)

        async def read() -> bytes:
            data = bytearray()
            async for part in self._answers(self._stub.ReadObject(request)):
                if part.offset != len(data):
                    raise Internal(f"{self._peer} left bytes of {name} out.", reason="REPLICA_GAP")
                data += part.data
                if len(data) > MAX_OBJECT_BYTES:
                    raise self._impossible(name)
            return bytes(data)

        return await self._again(read)

    async def release(self, name: str) -> None:
        gone = await self._small.release(name)
        if gone:
            return
        if gone is not None:
            raise NotFound(
                f"{name} does not exist at {self._peer}.", reason="OBJECT_MISSING", metadata={"object": name}
            )
        request = replica_pb2.ReleaseLeaseRequest(parent=self._name, object=name)
        await self._again(lambda: self._stub.ReleaseLease(request, timeout=_QUICK_SECONDS))

    async def put(self, name: str, data: memoryview, sha256: bytes, pace: Pace) -> None:
        """Returns when the object is stored there for good; raises AlreadyExists when one of its size was."""
        if len(data) <= SMALL_BYTES:
            if pace.limited:
                await pace.wait_in_loop(len(data))
            outcome = await self._small.put(Small(name, sha256, data))
            if outcome == Outcome.EXISTS:
                raise _exists(name, self._peer)
            if outcome is not None:
                return
        what = Announced(self._repository_id, name, len(data), sha256)
        sending = _Sending(self._stub, what, data, pace, self._peer, self._line, self._clock)
        await self._again(sending.attempt, sending)

    async def _answers(self, call: Any) -> AsyncIterator[Any]:
        """Those of a stream, each within its time; the stream ends with the last one that is wanted."""
        try:
            while (answer := await _in_time(call.read(), self._clock, self._peer)) is not grpc.aio.EOF:
                yield answer
        finally:
            call.cancel()

    def _impossible(self, what: str) -> DataLoss:
        return DataLoss(
            f"{self._peer} sends for {what} what no copy can hold.",
            reason="REPLICA_IMPOSSIBLE",
            hint="Is it the mover that should keep the copy? Look at what it runs.",
        )

    async def _again(self, call: Callable[[], Awaitable[T]], sending: "_Sending | None" = None) -> T:
        pause, durable = _FIRST_PAUSE_SECONDS, 0
        failing_since: float | None = None
        while True:
            try:
                with translated(self._peer):
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
                        f"{self._peer} could not be reached for {PATIENCE_SECONDS:.0f} s: {error.message}",
                        reason="REPLICA_UNREACHABLE",
                        hint="Start the copy again when it can: what is there is not sent again.",
                    ) from error
                if error.message != self._told:  # once for all that ask, until there is an answer
                    self._notice("COPY_LINE_CUT", f"{error.message} It is tried again.")
                self._told = error.message
                await self._clock.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)


class _Sending:
    """One object on its way, over as many streams as it takes."""

    def __init__(
        self,
        stub: "Stub",
        what: Announced,
        data: memoryview,
        pace: Pace,
        peer: str,
        line: asyncio.Semaphore,
        clock: Clock,
    ) -> None:
        self._stub, self._what, self._data, self._pace, self._peer = stub, what, data, pace, peer
        self._line, self._clock = line, clock
        self._news = asyncio.Event()
        self.durable = 0

    async def attempt(self) -> None:
        """From what is durable there to the end."""
        call: Any = self._stub.PutObject()
        hearing: asyncio.Task[Outcome] | None = None
        try:
            start = replica_pb2.PutObjectRequest(start=announced_to_proto(self._what))
            await self._in_time(_write(call, start))
            small = len(self._data) <= EAGER_BYTES
            taken = Taken(0) if small else await self._in_time(self._heard(call))
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
            raise _exists(self._what.name, self._peer)

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
            if not await self._in_time(_write(call, replica_pb2.PutObjectRequest(data=data))):
                return  # why, is heard
            offset += len(part)

    async def _progress(self) -> None:
        """More is durable, or the stream has ended."""
        self._news.clear()
        await self._in_time(self._news.wait())

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
            raise Unavailable(f"{self._peer} ended the stream.", reason="REPLICA_STREAM_ENDED")
        taken = taken_from_proto(response)
        if taken.durable > len(self._data):
            raise Internal(
                f"{self._peer} says it has {taken.durable} of {len(self._data)} bytes of {self._what.name}.",
                reason="REPLICA_IMPOSSIBLE",
                hint="Is it the mover that should keep the copy? Look at what it runs.",
            )
        self.durable = max(self.durable, taken.durable)
        return taken

    async def _in_time(self, answer: Awaitable[T]) -> T:
        return await _in_time(answer, self._clock, self._peer)


async def _in_time(answer: Awaitable[T], clock: Clock, peer: str) -> T:
    """A peer whose connection lives may hang all the same: its disk, or the whole process stopped."""
    try:
        return await clock.wait(answer, SILENCE_SECONDS)
    except TimeoutError:
        raise DeadlineExceeded(
            f"{peer} is connected, but has not moved for {SILENCE_SECONDS:.0f} s.",
            reason="REPLICA_SILENT",
            hint="Look at that mover's disk and its log.",
        ) from None


def _exists(name: str, peer: str) -> AlreadyExists:
    return AlreadyExists(
        f"{name} exists already at {peer}.", reason="OBJECT_EXISTS", metadata={"object": name}
    )


async def _write(call: Any, request: replica_pb2.PutObjectRequest) -> bool:
    """False when the call has ended: whoever reads from it hears why."""
    try:
        await call.write(request)
    except asyncio.InvalidStateError:
        return False
    return True
