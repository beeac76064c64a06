"""Questions of many threads that go as one, since each costs more than what it asks for."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Q = TypeVar("Q")
A = TypeVar("A")


class Together(Generic[Q, A]):
    """Whoever asks while ``at_once`` questions are under way goes with the next one. In one event loop."""

    def __init__(
        self,
        ask: Callable[[Sequence[Q]], Awaitable[Sequence[A | Exception]]],
        most: int,
        at_once: int,
        most_bytes: int = 0,
        size: Callable[[Q], int] = lambda _: 0,
    ) -> None:
        """``ask`` answers each of ``most`` at most, of ``most_bytes`` together, in their order."""
        self._ask, self._most, self._at_once = ask, most, at_once
        self._most_bytes, self._size = most_bytes, size
        self._waiting: deque[tuple[Q, asyncio.Future[A]]] = deque()
        self._asking: set[asyncio.Task[None]] = set()

    async def answer(self, question: Q) -> A:
        """Raises what ``ask`` raises, or answers with."""
        future: asyncio.Future[A] = asyncio.get_running_loop().create_future()
        self._waiting.append((question, future))
        if len(self._asking) < self._at_once:
            asking = asyncio.ensure_future(self._run())
            self._asking.add(asking)
            asking.add_done_callback(self._asking.discard)
        return await future

    async def _run(self) -> None:
        while some := self._taken():
            answers: Sequence[A | Exception]
            try:
                answers = await self._ask([question for question, _ in some])
            except asyncio.CancelledError:  # nobody asks any more: the way is closed
                for _, future in (*some, *self._waiting):
                    future.cancel()
                raise
            except Exception as error:  # noqa: BLE001 - whoever asked is told
                answers = [error] * len(some)
            for (_, future), answer in zip(some, answers, strict=True):
                if future.done():
                    continue  # nobody wants it any more
                if isinstance(answer, Exception):
                    future.set_exception(answer)
                else:
                    future.set_result(answer)

    def _taken(self) -> list[tuple[Q, asyncio.Future[A]]]:
        some: list[tuple[Q, asyncio.Future[A]]] = []
        size = 0
        while self._waiting and len(some) < self._most:
            size += self._size(self._waiting[0][0])
            if some and size > self._most_bytes:
                break
            question, future = self._waiting.popleft()
            if not future.done():
                some.append((question, future))
        return some
