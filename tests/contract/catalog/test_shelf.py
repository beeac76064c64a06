"""One law for every shelf: in memory, on SQLite and on PostgreSQL."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from xenkeep.common.v1 import point_pb2

from services.catalog.adapters.memory_shelf import MemoryShelf
from services.catalog.adapters.sql_shelf import SqlShelf
from services.catalog.domain.facts import Added
from services.catalog.domain.health import Health
from services.catalog.domain.point import Filter, Point
from services.catalog.ports import Shelf, Wish
from services.chassis.sql import Database
from tests.unit.catalog.fakes import at, point, unreadable

MIGRATIONS = "services.catalog.migrations"
EVERYTHING = Filter()


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
async def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Shelf]:
    if request.param == "memory":
        yield MemoryShelf()
        return
    url, service = f"sqlite+aiosqlite:///{tmp_path / 'catalog.sqlite'}", "catalog"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_url")
        service = f"catalog-{abs(hash(str(tmp_path)))}"
    async with Database(url, service, MIGRATIONS) as database:
        yield SqlShelf(database)


async def add(shelf: Shelf, *points: Point) -> None:
    async with shelf.writing() as work:
        await work.repositories.put("r1", "main", at(0))
        for each in points:
            await work.points.add(each)


async def ids(shelf: Shelf, wanted: Filter = EVERYTHING) -> list[str]:
    async with shelf.reading() as work:
        return [each.point.point_id for each in await work.points.page(wanted, None, 100)]


async def test_a_point_comes_back_as_it_was_added_with_the_name_of_its_repository(shelf: Shelf) -> None:
    exact = replace(point("p"), snapshot_time=at(0) + timedelta(microseconds=1), document=b"\x00\xff")
    await add(shelf, exact)
    async with shelf.reading() as work:
        found = await work.points.get("p")
        assert found is not None
        assert (found.point, found.repository_display_name, found.health) == (exact, "main", Health())
        assert await work.points.get("q") is None
        assert await work.points.ids_in("r1") == {"p"}
        assert await work.points.ids_in("r2") == set()


async def test_a_point_of_a_repository_without_a_name_is_found_too(shelf: Shelf) -> None:
    await add(shelf, point("p", repository="r2"))
    async with shelf.reading() as work:
        found = await work.points.get("p")
        assert found is not None
        assert found.repository_display_name == ""


async def test_health_is_kept_before_and_after_the_point_is_known(shelf: Shelf) -> None:
    health = Health(at(1), "torn", at(1), at(2), None)
    async with shelf.writing() as work:
        await work.points.put_health("p", Health(at(1)))
        await work.points.put_health("p", health)
    await add(shelf, point("p"))
    async with shelf.reading() as work:
        assert await work.points.health("p") == health
        assert await work.points.health("q") == Health()
        found = await work.points.get("p")
        assert found is not None
        assert found.health == health


async def test_a_point_that_cannot_be_read_is_listed_last_and_counts_for_no_asset(shelf: Shelf) -> None:
    await add(shelf, unreadable("u"), point("p"))
    assert ["p", "u"] == await ids(shelf) == await ids(shelf, Filter(repository="r1"))
    async with shelf.reading() as work:
        assert [each.asset.asset_id for each in await work.points.assets(None, 9)] == ["a1"]
        found = await work.points.get("u")
    assert found is not None
    assert found.point == unreadable("u")
    await add(shelf, point("u"))
    assert ["u", "p"] == await ids(shelf), "what can be read again takes its place"


async def test_a_removed_point_is_remembered_until_it_is_added_again(shelf: Shelf) -> None:
    await add(shelf, point("p"))
    async with shelf.writing() as work:
        await work.points.put_health("p", Health(at(1)))
        for _ in range(2):
            await work.points.remove("p", at(2))
        assert await work.points.get("p") is None
        assert await work.points.remove_time("p") == at(2)
        await work.points.add(point("p"))
        assert await work.points.remove_time("p") is None
        assert await work.points.health("p") == Health()


async def test_pages_are_newest_first_and_stay_where_they_were(shelf: Shelf) -> None:
    await add(shelf, *(point(name, minute=minute) for name, minute in zip("abcd", (1, 2, 2, 3), strict=True)))
    async with shelf.reading() as work:
        first = await work.points.page(EVERYTHING, None, 2)
    assert [each.point.point_id for each in first] == ["d", "c"]
    await add(shelf, point("e", minute=9))
    last = first[-1].point
    async with shelf.reading() as work:
        second = await work.points.page(EVERYTHING, (last.snapshot_time, last.point_id), 9)
    assert [each.point.point_id for each in second] == ["b", "a"]


async def test_points_are_filtered_by_asset_and_by_repository(shelf: Shelf) -> None:
    await add(
        shelf,
        point("p1", name="web", minute=1),
        point("p2", name="www", minute=2),
        point("q", asset="a2", name="db", repository="r2"),
    )
    assert await ids(shelf, Filter(asset="web")) == ["p2", "p1"]
    assert await ids(shelf, Filter(asset="a2")) == ["q"]
    assert await ids(shelf, Filter(asset="nothing")) == []
    assert await ids(shelf, Filter(repository="main")) == ["p2", "p1"]
    assert await ids(shelf, Filter(repository="r2")) == ["q"]
    assert await ids(shelf, Filter(asset="web", repository="r2")) == []


async def test_assets_are_listed_by_their_newest_name(shelf: Shelf) -> None:
    await add(
        shelf,
        point("p1", asset="a1", name="web", minute=1),
        point("p2", asset="a1", name="aaa", minute=2),
        point("q", asset="a2", name="db", minute=7),
        point("s", asset="a3", name="db", minute=5),
    )
    async with shelf.reading() as work:
        every = await work.points.assets(None, 10)
        rest = await work.points.assets(("db", "a2"), 10)
    assert [
        (a.asset.asset_id, a.asset.display_name, a.point_count, a.newest_snapshot_time) for a in every
    ] == [
        ("a1", "aaa", 2, at(2)),
        ("a2", "db", 1, at(7)),
        ("a3", "db", 1, at(5)),
    ]
    assert [a.asset.asset_id for a in rest] == ["a3"]


@pytest.mark.parametrize(("prefix", "count"), [("abcdefgh", 2), ("abcdefgh-1", 1), ("abc%", 0), ("___", 0)])
async def test_ids_are_found_by_their_beginning(shelf: Shelf, prefix: str, count: int) -> None:
    await add(shelf, point("abcdefgh-1"), point("abcdefgh-2"))
    async with shelf.reading() as work:
        assert len(await work.points.ids_starting_with(prefix)) == count


async def test_a_repository_keeps_its_newest_name(shelf: Shelf) -> None:
    await add(shelf, point("p"))
    async with shelf.writing() as work:
        await work.repositories.put("r1", "newer", at(5))
        await work.repositories.put("r1", "older", at(4))
        found = await work.points.get("p")
    assert found is not None
    assert found.repository_display_name == "newer"


async def test_wishes_are_open_until_they_are_granted(shelf: Shelf) -> None:
    async with shelf.writing() as work:
        assert not await work.wishes.ever("r1")
        await work.wishes.put(Wish("r1", at(2), 3, "waits"))
        await work.wishes.put(Wish("", at(1)))
    async with shelf.writing() as work:
        assert await work.wishes.open() == [Wish("", at(1)), Wish("r1", at(2), 3, "waits")]
        await work.wishes.grant(Wish("", at(1)), at(5))
        await work.wishes.grant(Wish("r1", at(0)), at(5))
        assert await work.wishes.open() == [Wish("r1", at(2), 3, "waits")]
        await work.wishes.grant(Wish("r1", at(2)), at(5))
        assert await work.wishes.open() == []
        assert await work.wishes.ever("r1") and not await work.wishes.ever("r2")
        await work.wishes.put(Wish("r1", at(9)))
        assert await work.wishes.open() == [Wish("r1", at(9))]


async def test_a_unit_that_raises_leaves_nothing(shelf: Shelf) -> None:
    with pytest.raises(ZeroDivisionError):
        async with shelf.writing() as work:
            await work.points.add(replace(point("p"), document=point_pb2.Point().SerializeToString()))
            found = await work.points.get("p")
            assert found is not None
            await work.tell(Added(found))
            raise ZeroDivisionError
    assert await ids(shelf) == []
