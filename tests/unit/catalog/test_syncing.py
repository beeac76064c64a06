"""Making the catalog agree with the repositories, on fakes."""

import pytest

from services.catalog.adapters.memory_shelf import MemoryShelf
from services.catalog.app.projection import Projection
from services.catalog.app.syncing import Outcome, Syncing
from services.catalog.domain.facts import Added, Damaged, Removed
from services.catalog.ports import Listed, Wish
from services.chassis.clock import FakeClock
from services.chassis.errors import NotFound, Unavailable
from tests.unit.catalog.fakes import FakeMovers, at, down, point, unreadable


class World:
    def __init__(self, **held: list[Listed]) -> None:
        self.clock, self.shelf, self.movers = FakeClock(), MemoryShelf(), FakeMovers(dict(held))
        self.syncing = Syncing(self.shelf, self.movers, self.clock)

    def words(self, point_id: str) -> str:
        return self.shelf.now.points.healths[point_id].words

    def known(self) -> set[str]:
        return set(self.shelf.now.points.kept)

    async def settle(self) -> None:
        """Rounds until no wish is open, moving time to the next try."""
        while (again := await self.syncing.round()) is not None:
            await self.clock.advance((again - self.clock.now()).total_seconds())


def held(*ids: str, repository: str = "r1", damage: str = "") -> list[Listed]:
    return [Listed(point(each, repository=repository), damage) for each in ids]


async def test_a_sync_adds_what_is_new_and_removes_what_is_gone() -> None:
    world = World(r1=held("a", "b"))
    assert await world.syncing.sync("r1") == Outcome(points=2, added=2, removed=0)
    world.movers.held["r1"] = held("b", "c")
    assert await world.syncing.sync("name of r1") == Outcome(points=2, added=1, removed=1)
    assert world.known() == {"b", "c"}
    assert [type(fact) for fact in world.shelf.now.told] == [Added, Added, Added, Removed]


async def test_a_listing_that_breaks_off_removes_nothing() -> None:
    world = World(r1=held("a", "b", "c"))
    await world.syncing.sync("")
    world.movers.cut_after = 1
    with pytest.raises(Unavailable):
        await world.syncing.sync("")
    assert world.known() == {"a", "b", "c"}


async def test_a_point_committed_while_the_repository_is_read_is_kept() -> None:
    world = World(r1=held("a"))
    await world.syncing.sync("r1")
    listing = world.movers.points

    async def committed_meanwhile(repository_id: str) -> object:
        async for listed in listing(repository_id):
            yield listed
        async with world.shelf.writing() as work:
            await Projection().committed(work, point("late"), "main", at(0))

    world.movers.points = committed_meanwhile  # type: ignore[assignment]
    assert await world.syncing.sync("r1") == Outcome(points=1)
    assert world.known() == {"a", "late"}


async def test_damage_the_repository_knows_of_comes_with_the_sync() -> None:
    world = World(r1=held("a", damage="torn"))
    await world.syncing.sync("r1")
    async with world.shelf.reading() as work:
        found = await work.points.get("a")
    assert found is not None
    assert found.health.words == "torn"


async def test_a_known_point_that_cannot_be_read_any_more_stays_with_what_is_known_of_it() -> None:
    world = World(r1=held("a"))
    await world.syncing.sync("r1")
    world.movers.held["r1"] = [Listed(unreadable("a"), "it is torn")]
    assert await world.syncing.sync("r1") == Outcome(points=1)
    assert (world.shelf.now.points.kept["a"], world.words("a")) == (point("a"), "it is torn")
    assert [type(fact) for fact in world.shelf.now.told] == [Added, Damaged]


async def test_a_point_nobody_has_ever_read_is_listed_damaged_and_is_added_when_it_can_be_read() -> None:
    world = World(r1=[Listed(unreadable("a"), "it is torn")])
    for added in (1, 0):
        assert await world.syncing.sync("r1") == Outcome(points=1, added=added)
    assert (world.shelf.now.points.kept["a"], world.words("a")) == (unreadable("a"), "it is torn")
    assert [type(fact) for fact in world.shelf.now.told] == [Damaged]
    world.movers.held["r1"] = held("a")
    await world.syncing.sync("r1")
    assert world.shelf.now.points.kept["a"] == point("a")
    assert [type(fact) for fact in world.shelf.now.told] == [Damaged, Added]


async def test_what_was_found_gone_after_our_list_was_read_does_not_come_back_by_it() -> None:
    world = World(r1=held("a"))
    await world.syncing.sync("r1")
    listing = world.movers.points

    async def pruned_meanwhile(repository_id: str) -> object:
        async for listed in listing(repository_id):
            yield listed
        await world.clock.advance(1)
        async with world.shelf.writing() as work:
            await work.points.remove("a", world.clock.now())

    world.movers.points = pruned_meanwhile  # type: ignore[assignment]
    await world.syncing.sync("r1")
    assert world.known() == set()


async def test_a_new_catalog_reads_everything_by_itself_once_movers_answer() -> None:
    world = World(r1=held("a"), r2=held("b", repository="r2"))
    world.movers.trouble[""] = down()
    await world.syncing.prepare()
    for _ in range(3):
        again = await world.syncing.round()
        assert again is not None
        await world.clock.advance((again - world.clock.now()).total_seconds())
    async with world.shelf.reading() as work:
        (wish,) = await work.wishes.open()
    assert (wish.tries, wish.activity) == (3, "The mover service cannot be reached.")
    del world.movers.trouble[""]
    await world.settle()
    assert world.known() == {"a", "b"}


async def test_a_new_catalog_that_was_told_of_one_repository_first_reads_the_others_too() -> None:
    world = World(r1=held("a"), r2=held("b", repository="r2"))
    async with world.shelf.writing() as work:
        await work.wishes.put(Wish("r2", world.clock.now()))
    await world.syncing.prepare()
    await world.settle()
    assert world.known() == {"a", "b"}


async def test_one_repository_that_cannot_be_read_does_not_hold_up_the_others() -> None:
    world = World(r1=held("a"), r2=held("b", repository="r2"))
    world.movers.trouble["r1"] = down()
    await world.syncing.prepare()
    await world.syncing.round()
    await world.syncing.round()
    assert world.known() == {"b"}
    with pytest.raises(Unavailable):
        await world.syncing.sync("")
    del world.movers.trouble["r1"]
    await world.settle()
    assert world.known() == {"a", "b"}


async def test_a_catalog_that_has_read_everything_does_not_read_it_again_at_its_next_start() -> None:
    world = World(r1=held("a"))
    await world.syncing.prepare()
    await world.settle()
    world.movers.trouble[""] = down()
    await world.syncing.prepare()
    assert await world.syncing.round() is None


async def test_a_repository_that_was_added_is_read() -> None:
    world = World()
    await world.syncing.prepare()
    await world.settle()
    world.movers.held["r1"] = held("a")
    async with world.shelf.writing() as work:
        await Projection().repository_added(work, "r1", "main", world.clock.now())
    await world.settle()
    assert world.known() == {"a"}


async def test_a_wish_for_a_repository_that_is_gone_is_given_up() -> None:
    world = World()
    async with world.shelf.writing() as work:
        await Projection().repository_added(work, "r9", "gone", world.clock.now())
    assert await world.syncing.round() is None
    with pytest.raises(NotFound):
        await world.syncing.sync("r9")


async def test_a_point_that_comes_back_into_its_repository_comes_back() -> None:
    world = World(r1=held("a"))
    await world.syncing.sync("r1")
    world.movers.held["r1"] = []
    await world.syncing.sync("r1")
    assert world.known() == set()
    world.movers.held["r1"] = held("a")
    await world.syncing.sync("r1")
    assert world.known() == {"a"}
