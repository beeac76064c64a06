"""Following page tokens."""

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar


class Page(Protocol):
    """A response of a List method."""

    @property
    def next_page_token(self) -> str: ...


PageT = TypeVar("PageT", bound=Page)
ItemT = TypeVar("ItemT")


def pages(fetch: Callable[[str], PageT], items: Callable[[PageT], Iterable[ItemT]]) -> Iterator[ItemT]:
    """Yield the items of all pages, fetching each page when it is needed."""
    token = ""
    while True:
        page = fetch(token)
        yield from items(page)
        token = page.next_page_token
        if not token:
            return
