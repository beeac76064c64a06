"""Page tokens: where the page before ended, opaque to the caller."""

import base64
import binascii
import json
from datetime import datetime

from services.chassis.errors import InvalidInput

LARGEST_PAGE = 1000


def page_size(asked: int, default: int) -> int:
    """0 is ``default``; never more than LARGEST_PAGE. Raises InvalidInput PAGE_SIZE_INVALID."""
    if asked < 0:
        raise InvalidInput(
            "A page cannot have fewer than no entries.", reason="PAGE_SIZE_INVALID", hint="Ask for 0 or more."
        )
    return min(asked or default, LARGEST_PAGE)


def token_of(*parts: str) -> str:
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode()


def parts_of(token: str, count: int) -> list[str]:
    """Raises InvalidInput PAGE_TOKEN_INVALID for what ``token_of`` did not make from ``count`` parts."""
    try:
        parts = json.loads(base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True))
    except (binascii.Error, UnicodeError, ValueError, RecursionError):
        parts = None
    if not isinstance(parts, list) or len(parts) != count or not all(isinstance(p, str) for p in parts):
        raise _invalid()
    return parts


def moment_of(part: str) -> datetime:
    """An aware moment in a token. Raises as ``parts_of``."""
    try:
        moment = datetime.fromisoformat(part)
    except ValueError:
        raise _invalid() from None
    if moment.tzinfo is None:
        raise _invalid()
    return moment


def _invalid() -> InvalidInput:
    return InvalidInput(
        "This page token was not given by us.",
        reason="PAGE_TOKEN_INVALID",
        hint="Start again from the first page.",
    )
