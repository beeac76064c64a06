"""Movers' facts in the catalog, on fakes."""

import itertools

import pytest

from services.catalog.adapters.memory_shelf import MemoryShelf
from services.catalog.app.finding import Finding
from services.catalog.app.projection import Projection
from services.catalog.domain.facts import Added, Damaged, Fact, Verified
from services.catalog.domain.point import Filter
from services.chassis.errors import FailedPrecondition, NotFound
from tests.unit.catalog.fakes import Heard, at, point, read_shelf

PROJECTION = Projection()
P = "11111111-aaaa"


def kinds(told: list[Fact]) -> list[type[Fact]]:
    return [type(fact) for fact in told]


async def apply(shelf: MemoryShelf, *which: str) -> None:
    for each in which:
        async with shelf.writing() as work:
            match each:
                case "committed":
                    await PROJECTION.committed(work, point(P), "main", at(0))
                case "damaged":
                    await PROJECTION.damaged(work, {P: "torn"}, at(1))
                case "sound":
                    await PROJECTION.verified(work, [P], [], at(2), full=True)
                case "scrubbed":
                    await PROJECTION.verified(work, [P], [], at(3), full=False)


async def test_a_committed_point_can_be_found_and_is_announced_once() -> None:
    shelf = MemoryShelf()
    await apply(shelf, "committed", "committed")
    found = await Finding(shelf, Heard()).get(P)
    assert (found.point, found.repository_display_name) == (point(P), "main")
    assert kinds(shelf.now.told) == [Added]


async def test_every_order_of_the_same_facts_ends_in_the_same_catalog() -> None:
    seen = []
    for order in itertools.permutations(["committed", "damaged", "sound", "scrubbed"]):
        shelf = MemoryShelf()
        await apply(shelf, *order, *order)
        found = await Finding(shelf, Heard()).get(P)
        assert kinds(shelf.now.told)[0] is Added
        seen.append(found)
    assert seen == [seen[0]] * len(seen)
    assert (seen[0].health.damaged, seen[0].health.verify_time) == (False, at(3))


async def test_damage_told_before_the_point_is_announced_with_it() -> None:
    shelf = MemoryShelf()
    await apply(shelf, "damaged")
    assert shelf.now.told == []
    await apply(shelf, "committed")
    assert kinds(shelf.now.told) == [Added, Damaged]
    assert (await Finding(shelf, Heard()).get(P)).health.words == "torn"


async def test_the_same_damage_is_announced_once_and_again_after_it_was_repaired() -> None:
    shelf = MemoryShelf()
    await apply(shelf, "committed", "damaged", "damaged", "sound")
    async with shelf.writing() as work:
        await PROJECTION.damaged(work, {P: "torn again"}, at(9))
    assert kinds(shelf.now.told) == [Added, Damaged, Verified, Damaged]


async def test_a_point_that_was_removed_is_not_brought_back_by_a_late_event() -> None:
    shelf = await read_shelf()
    await apply(shelf, "committed")
    async with shelf.writing() as work:
        await work.points.remove(P, at(1))
    await apply(shelf, "committed", "damaged", "sound")
    with pytest.raises(NotFound):
        await Finding(shelf, Heard()).get(P)


async def test_a_repository_keeps_its_newest_name() -> None:
    shelf = MemoryShelf()
    async with shelf.writing() as work:
        await PROJECTION.repository_added(work, "r1", "new", at(5))
        await PROJECTION.committed(work, point(P), "old", at(1))
    assert (await Finding(shelf, Heard()).get(P)).repository_display_name == "new"


async def test_a_point_is_found_by_the_beginning_of_its_id() -> None:
    shelf = await read_shelf()
    async with shelf.writing() as work:
        for point_id in ("12345678-a", "12345678-b", "87654321-a"):
            await PROJECTION.committed(work, point(point_id), "main", at(0))
    finding = Finding(shelf, Heard())
    assert (await finding.get("87654321")).point.point_id == "87654321-a"
    assert (await finding.get("12345678-B")).point.point_id == "12345678-b"
    for unknown in ("8765432", "99999999", "8765%%%%", ""):
        with pytest.raises(NotFound):
            await finding.get(unknown)
    with pytest.raises(FailedPrecondition):
        await finding.get("12345678")


async def test_points_of_an_asset_are_found_under_any_name_it_had() -> None:
    shelf = MemoryShelf()
    async with shelf.writing() as work:
        for number, name in enumerate(("web", "web", "www")):
            await PROJECTION.committed(work, point(f"p{number}", name=name, minute=number), "main", at(0))
        await PROJECTION.committed(work, point("q", asset="a2", name="db"), "main", at(0))
    finding = Finding(shelf, Heard())
    for asset in ("web", "www", "a1"):
        found = (await finding.page(Filter(asset=asset), None, 10)).found
        assert [each.point.point_id for each in found] == ["p2", "p1", "p0"]
    assets = (await finding.assets(None, 10)).found
    assert [(each.asset.display_name, each.point_count) for each in assets] == [("db", 1), ("www", 3)]
