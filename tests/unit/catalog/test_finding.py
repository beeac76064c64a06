"""What was told before a question is part of its answer."""

from functools import partial

import pytest

from services.catalog.adapters.memory_shelf import MemoryShelf
from services.catalog.app.finding import Finding
from services.catalog.app.projection import Projection
from services.catalog.domain.point import Filter
from services.catalog.ports import Wish
from services.chassis.errors import Unavailable
from tests.unit.catalog.fakes import Heard, at, point, read_shelf

P = "11111111-aaaa"


async def commit(shelf: MemoryShelf) -> None:
    async with shelf.writing() as work:
        await Projection().committed(work, point(P), "main", at(0))


async def test_a_point_that_is_on_its_way_is_found() -> None:
    shelf = await read_shelf()

    found = await Finding(shelf, Heard(partial(commit, shelf))).get(P)

    assert P == found.point.point_id


async def test_a_list_has_the_point_that_is_on_its_way_and_so_have_assets() -> None:
    for question in ("page", "assets"):
        shelf = await read_shelf()
        finding = Finding(shelf, Heard(partial(commit, shelf)))

        listed = await (finding.page(Filter(), None, 10) if question == "page" else finding.assets(None, 10))

        assert (1, ()) == (len(listed.found), listed.lacking), question


async def test_while_events_are_left_to_read_nobody_says_that_a_point_is_not_there() -> None:
    with pytest.raises(Unavailable) as behind:
        await Finding(await read_shelf(), Heard(behind=True)).get(P)
    with pytest.raises(Unavailable) as away:
        await Finding(await read_shelf(), Heard(away=True)).get(P)

    assert ("CATALOG_BEHIND", "BUS_UNAVAILABLE") == (behind.value.reason, away.value.reason)


async def test_without_the_bus_what_is_known_is_listed_and_said_to_be_perhaps_less() -> None:
    shelf = await read_shelf()
    await commit(shelf)

    for heard, reason in ((Heard(away=True), "BUS_UNAVAILABLE"), (Heard(behind=True), "CATALOG_BEHIND")):
        finding = Finding(shelf, heard)
        for listed in (await finding.page(Filter(), None, 10), await finding.assets(None, 10)):
            assert 1 == len(listed.found)
            assert [reason] == [each.reason for each in listed.lacking]
        assert P == (await finding.get(P)).point.point_id


async def test_until_a_repository_is_read_nobody_says_that_a_point_is_not_there() -> None:
    shelf = await read_shelf()
    async with shelf.writing() as work:
        await work.wishes.put(Wish("repository-1", at(0), activity="The movers are away."))
    finding = Finding(shelf, Heard())

    with pytest.raises(
        Unavailable, match=r"repository-1 has not been read yet\. The movers are away\."
    ) as unread:
        await finding.get(P)
    assert "REPOSITORY_UNREAD" == unread.value.reason
    for listed in (await finding.page(Filter(), None, 10), await finding.assets(None, 10)):
        assert ["REPOSITORY_UNREAD"] == [each.reason for each in listed.lacking]


async def test_a_new_catalog_does_not_say_that_a_point_is_not_there() -> None:
    finding = Finding(MemoryShelf(), Heard())

    with pytest.raises(Unavailable) as unread:
        await finding.get(P)
    listed = await finding.page(Filter(), None, 10)

    assert "REPOSITORY_UNREAD" == unread.value.reason
    assert ["REPOSITORY_UNREAD"] == [each.reason for each in listed.lacking]
