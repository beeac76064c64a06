"""Small objects of a copy at another mover, and questions about them: many go together."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

from xenkeep.mover.v1 import replica_pb2, replica_pb2_grpc

from services.chassis.errors import FailedPrecondition, Unavailable, XenkeepError
from services.mover.adapters.together import Together
from services.mover.domain.replica import (
    ASKED_TOGETHER,
    SENT_TOGETHER,
    SENT_TOGETHER_BYTES,
    Outcome,
    Small,
)
from services.mover.wire.replica import outcomes_from_proto, small_to_proto

if TYPE_CHECKING:
    Stub = replica_pb2_grpc.ReplicaServiceAsyncStub

R = TypeVar("R")
A = TypeVar("A")
Again = Callable[[Callable[[], Awaitable[Any]]], Awaitable[Any]]
_AT_ONCE: Final = 3
"""While one is answered, one is on its way and one is asked."""
_QUICK_SECONDS: Final = 120.0
_SLOWEST_BYTES_A_SECOND: Final = 4096


class SmallObjects:
    """An answer of None is for whoever asks alone: what is wrong with one of many is said to nobody else."""

    def __init__(self, stub: "Stub", name: str, again: Again) -> None:
        """``name`` is the copy's; ``again`` does a question again that fails for want of a line."""
        self._stub, self._name, self._again = stub, name, again
        self._alone = False
        self._puts = Together(
            self._put, SENT_TOGETHER, _AT_ONCE, SENT_TOGETHER_BYTES, lambda small: len(small.data)
        )
        self._sizes = Together(self._find, ASKED_TOGETHER, _AT_ONCE)
        self._releases = Together(self._release, ASKED_TOGETHER, _AT_ONCE)

    async def put(self, small: Small) -> Outcome | None:
        """How it was stored."""
        return None if self._alone else await self._puts.answer(small)

    async def size(self, name: str) -> int | None:
        """Its size, or -1 when it is not there."""
        return None if self._alone else await self._sizes.answer(name)

    async def release(self, name: str) -> bool | None:
        """Whether the lease was there."""
        return None if self._alone else await self._releases.answer(name)

    async def _put(self, objects: Sequence[Small]) -> Sequence[Outcome | None]:
        request = replica_pb2.PutObjectsRequest(parent=self._name, objects=map(small_to_proto, objects))
        seconds = _QUICK_SECONDS + request.ByteSize() / _SLOWEST_BYTES_A_SECOND
        outcomes = await self._answered(self._stub.PutObjects, request, outcomes_from_proto, seconds)
        return [None if outcome == Outcome.UNDER_WAY else outcome for outcome in outcomes]

    async def _find(self, names: Sequence[str]) -> Sequence[int | None]:
        def sizes(response: replica_pb2.GetObjectsResponse) -> Sequence[int]:
            found = {each.object: each.size_bytes for each in response.objects}
            return [found.get(name, -1) for name in names]

        request = replica_pb2.GetObjectsRequest(parent=self._name, objects=names)
        return await self._answered(self._stub.GetObjects, request, sizes)

    async def _release(self, names: Sequence[str]) -> Sequence[bool | None]:
        def gone(response: replica_pb2.ReleaseLeasesResponse) -> Sequence[bool]:
            released = set(response.objects)
            return [name in released for name in names]

        request = replica_pb2.ReleaseLeasesRequest(parent=self._name, objects=names)
        return await self._answered(self._stub.ReleaseLeases, request, gone)

    async def _answered(
        self,
        ask: Callable[..., Awaitable[R]],
        request: Any,
        read: Callable[[R], Sequence[A]],
        seconds: float = _QUICK_SECONDS,
    ) -> Sequence[A | None]:
        """What ``read`` makes of the answer, one for each object of the ``request``; None for each when they
        have to be asked one by one, be it that an older mover knows nothing else.
        """
        one_by_one = [None] * len(request.objects)
        try:
            response = await self._again(lambda: ask(request, timeout=seconds))
        except Unavailable:
            raise
        except XenkeepError as error:
            self._alone |= isinstance(error, FailedPrecondition) and error.reason == "GRPC_UNIMPLEMENTED"
            return one_by_one
        answers = read(response)
        return answers if len(answers) == len(one_by_one) else one_by_one
