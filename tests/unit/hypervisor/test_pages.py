"""Lists of pools and VMs in pages: those of one name are neither lost nor shown twice."""

from collections.abc import Sequence

import pytest

from services.chassis.errors import InvalidInput
from services.hypervisor.wire.paging import page
from tests.support.pages import require_whole

ENTRIES = [("db", "1"), ("web", "2"), ("web", "3"), ("web", "4"), ("zoo", "5")]


async def test_entries_of_one_name_are_told_apart_by_their_ids() -> None:
    async def ask(size: int, token: str) -> tuple[Sequence[str], str]:
        shown, more = page(ENTRIES, size, token, lambda entry: entry)
        return [id_ for _, id_ in shown], more

    await require_whole(ask, "12345")


def test_an_entry_that_comes_or_goes_between_two_pages_moves_no_other() -> None:
    shown, token = page(ENTRIES, 2, "", lambda entry: entry)
    changed = [("aaa", "0"), *ENTRIES[2:]]
    rest, _ = page(changed, 9, token, lambda entry: entry)
    assert [*ENTRIES] == [*shown, *rest]


@pytest.mark.parametrize("token", ["x", "WyJ4Il0=", "WzEsMl0="])
def test_a_token_of_something_else_is_refused(token: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        page(ENTRIES, 2, token, lambda entry: entry)
    assert "PAGE_TOKEN_INVALID" == refused.value.reason
