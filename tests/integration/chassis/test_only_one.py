"""Of several processes of a service one goes on, and the next one when it has ended."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from xenkeep import status

from services.chassis.errors import FailedPrecondition, Unavailable
from services.chassis.only_one import OnlyOne
from services.chassis.sql import Database
from tests.support.notes import store
from tests.support.waiting import PATIENCE_S

PLACES = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2 AND granted = :granted"


@pytest.fixture
async def look(empty_database: str) -> AsyncIterator[Database]:
    async with Database(empty_database, "look") as database:
        yield database


async def until_places(look: Database, count: int, *, granted: bool) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            async with look.read() as reader:
                if count == await reader.scalar(sa.text(PLACES), {"granted": granted}):
                    return


async def test_the_second_stands_by_until_the_first_has_ended(empty_database: str, look: Database) -> None:
    async with Database(empty_database, "a") as first, Database(empty_database, "a") as second:
        async with first.only_one():
            standby = second.only_one()
            entering = asyncio.create_task(standby.__aenter__())
            await until_places(look, 1, granted=False)
            assert not entering.done()
        await asyncio.wait_for(entering, PATIENCE_S)
        await standby.__aexit__()
        await until_places(look, 0, granted=True)


async def test_who_stands_by_can_be_stopped(empty_database: str, look: Database) -> None:
    first, second = Database(empty_database, "b"), Database(empty_database, "b")
    async with first, second, first.only_one():
        entering = asyncio.create_task(second.only_one().__aenter__())
        await until_places(look, 1, granted=False)
        entering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await entering
        await until_places(look, 0, granted=False)


async def test_another_service_on_the_same_server_has_a_place_of_its_own(empty_database: str) -> None:
    first, second = Database(empty_database, "c"), Database(empty_database, "d")
    async with first, second, first.only_one(), asyncio.timeout(PATIENCE_S), second.only_one():
        pass


async def test_who_loses_the_session_ends_at_once_and_the_next_one_goes_on(
    empty_database: str, look: Database
) -> None:
    ended: list[int] = []
    async with Database(empty_database, "e") as first, Database(empty_database, "e") as second:
        async with first.only_one() as place:
            place._end = ended.append
            watching = asyncio.create_task(place.run())
            entering = asyncio.create_task(second.only_one().__aenter__())
            await until_places(look, 1, granted=False)
            async with look.read() as reader:
                pid = await reader.scalar(sa.text("SELECT pid FROM pg_locks WHERE objsubid = 2 AND granted"))
                await reader.execute(sa.text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
            with pytest.raises(Unavailable, match="only one"):
                await asyncio.wait_for(watching, PATIENCE_S)
            successor: OnlyOne = await asyncio.wait_for(entering, PATIENCE_S)
        await successor.__aexit__()
    assert [status.of_kind("Unavailable").exit_code] == ended


async def test_on_sqlite_the_second_refuses(tmp_path: Path) -> None:
    async with store(tmp_path) as first, store(tmp_path) as second:
        async with first.only_one():
            with pytest.raises(FailedPrecondition) as refused:
                await second.only_one().__aenter__()
        assert "SERVICE_RUNS_ALREADY" == refused.value.reason
        async with second.only_one():
            pass
