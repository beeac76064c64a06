"""Questions that go together."""

import asyncio
from collections.abc import Sequence

import pytest

from services.chassis.errors import Unavailable
from services.mover.adapters.together import Together


class Peer:
    """Answers with twice the number when it may; what is odd beyond 100 it refuses."""

    def __init__(self) -> None:
        self.may = asyncio.Event()
        self.asked: list[list[int]] = []

    async def ask(self, numbers: Sequence[int]) -> Sequence[int | Exception]:
        self.asked.append(list(numbers))
        await self.may.wait()
        return [
            Unavailable("Odd.", reason="ODD") if number > 100 and number % 2 else 2 * number
            for number in numbers
        ]


async def begun(together: Together[int, int], numbers: Sequence[int]) -> list[asyncio.Task[int]]:
    asking = []
    for number in numbers:
        asking.append(asyncio.ensure_future(together.answer(number)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    return asking


async def test_what_is_asked_while_others_are_under_way_goes_together_and_in_order() -> None:
    peer = Peer()
    asking = await begun(Together(peer.ask, most=4, at_once=2), range(9))
    peer.may.set()
    assert await asyncio.gather(*asking) == [2 * number for number in range(9)]
    assert peer.asked == [[0], [1], [2, 3, 4, 5], [6, 7, 8]]


async def test_what_is_large_goes_alone() -> None:
    peer = Peer()
    together = Together(peer.ask, most=9, at_once=1, most_bytes=10, size=lambda number: number)
    asking = await begun(together, [1, 5, 5, 5, 50, 1])
    peer.may.set()
    await asyncio.gather(*asking)
    assert peer.asked == [[1], [5, 5], [5], [50], [1]]


async def test_each_hears_of_its_own_failure_and_one_that_went_away_disturbs_nobody() -> None:
    peer = Peer()
    asking = await begun(Together(peer.ask, most=9, at_once=1), [0, 101, 102, 104])
    asking[3].cancel()
    peer.may.set()
    assert await asking[0] == 0
    with pytest.raises(Unavailable):
        await asking[1]
    assert await asking[2] == 204
    assert peer.asked == [[0], [101, 102]]


async def test_a_way_that_is_closed_leaves_nobody_waiting() -> None:
    peer = Peer()
    together = Together(peer.ask, most=9, at_once=1)
    asking = await begun(together, [0, 1, 2])
    for task in together._asking:
        task.cancel()
    for each in asking:
        with pytest.raises(asyncio.CancelledError):
            await each
