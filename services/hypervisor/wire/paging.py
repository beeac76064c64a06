"""Page tokens: how many entries the pages before had shown, by the last entry's place in the order."""

from collections.abc import Callable
from typing import TypeVar

from services.chassis.paging import LARGEST_PAGE, page_size, parts_of, token_of

T = TypeVar("T")


def page(
    entries: list[T], size: int, token: str, place: Callable[[T], tuple[str, str]]
) -> tuple[list[T], str]:
    """A page of ``entries``, which are in the order of ``place``, and the token of the next one.

    Raises InvalidInput PAGE_SIZE_INVALID, PAGE_TOKEN_INVALID.
    """
    wanted = page_size(size, LARGEST_PAGE)
    after = tuple(parts_of(token, 2)) if token else ("", "")
    rest = [entry for entry in entries if place(entry) > after] if token else entries
    shown = rest[:wanted]
    more = token_of(*place(shown[-1])) if len(shown) < len(rest) else ""
    return shown, more
