"""Lists that come in pages: from the first to the last, as a caller goes through them."""

from collections.abc import Awaitable, Callable, Sequence

Ask = Callable[[int, str], Awaitable[tuple[Sequence[str], str]]]
"""``ask(page_size, page_token)``: what the page shows, and the token of the next one."""


async def pages(ask: Ask, size: int) -> list[list[str]]:
    """Every page; raises AssertionError for a list that does not end."""
    found: list[list[str]] = []
    token = ""
    while len(found) < 100:
        shown, token = await ask(size, token)
        found.append(list(shown))
        if not token:
            return found
    raise AssertionError(found[:3])


async def require_whole(ask: Ask, everything: Sequence[str]) -> None:
    """Whatever the size of a page: all of it, in order, each once, no page beyond the last entry."""
    for size in range(1, len(everything) + 2):
        expected = [list(everything[at : at + size]) for at in range(0, len(everything), size)]
        assert expected == await pages(ask, size), f"pages of {size}"
    assert [list(everything)] == await pages(ask, 0), "as many as are usual"
