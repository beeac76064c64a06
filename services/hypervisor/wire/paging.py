"""Page tokens: how many entries the pages before had shown, by the last entry's place in the order."""

import base64
import binascii
import json
from collections.abc import Callable
from typing import TypeVar

from services.chassis.errors import InvalidInput

T = TypeVar("T")
LARGEST_PAGE = 1000


def page(
    entries: list[T], size: int, token: str, place: Callable[[T], tuple[str, str]]
) -> tuple[list[T], str]:
    """A page of ``entries``, which are in the order of ``place``, and the token of the next one.

    Raises InvalidInput PAGE_SIZE_INVALID, PAGE_TOKEN_INVALID.
    """
    if size < 0:
        raise InvalidInput(
            "A page cannot have fewer than no entries.", reason="PAGE_SIZE_INVALID", hint="Ask for 0 or more."
        )
    after = _place_in(token) if token else ("", "")
    rest = [entry for entry in entries if place(entry) > after] if token else entries
    shown = rest[: min(size or LARGEST_PAGE, LARGEST_PAGE)]
    more = _token(place(shown[-1])) if len(shown) < len(rest) else ""
    return shown, more


def _token(place: tuple[str, str]) -> str:
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode()


def _place_in(token: str) -> tuple[str, str]:
    try:
        parts = json.loads(base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True))
    except (binascii.Error, UnicodeError, ValueError, RecursionError):
        parts = None
    if not isinstance(parts, list) or len(parts) != 2 or not all(isinstance(part, str) for part in parts):
        raise InvalidInput(
            "This page token was not given by us.",
            reason="PAGE_TOKEN_INVALID",
            hint="Start again from the first page.",
        )
    return parts[0], parts[1]
