import asyncio

import pytest

from services.chassis.clock import FakeClock
from services.chassis.errors import NotFound, Unavailable
from services.mover.adapters.patience import Patience


class Neighbour:
    """Answers after having been ``away`` so many times."""

    def __init__(self, away: int) -> None:
        self.away = away

    async def ask(self) -> str:
        if self.away:
            self.away -= 1
            raise Unavailable("Away.", reason="AWAY")
        return "here"


async def test_a_neighbour_that_is_away_is_asked_again_until_it_answers() -> None:
    clock = FakeClock()
    asking = asyncio.create_task(Patience(clock).until_answered(Neighbour(away=3).ask))
    for pause in (0.5, 1.0, 2.0):
        await clock.until_sleeping()
        await clock.advance(pause)
    assert "here" == await asking


async def test_patience_ends() -> None:
    clock = FakeClock()
    asking = asyncio.create_task(Patience(clock, seconds=2).until_answered(Neighbour(away=99).ask))
    for _ in range(2):
        await clock.until_sleeping()
        await clock.advance(1)
    with pytest.raises(Unavailable):
        await asking


async def test_any_other_answer_is_an_answer() -> None:
    async def unknown() -> str:
        raise NotFound("Unknown.", reason="UNKNOWN")

    with pytest.raises(NotFound):
        await Patience(FakeClock()).until_answered(unknown)
