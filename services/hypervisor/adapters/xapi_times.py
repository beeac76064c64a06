"""Times as a pool tells them."""

import re
from datetime import UTC, datetime

from services.chassis.errors import FailedPrecondition

_TIME = re.compile(r"(\d{4})-?(\d\d)-?(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.\d+)?Z")


def moment(text: str) -> datetime:
    """Raises FailedPrecondition POOL_REFUSED for what is no time."""
    match = _TIME.fullmatch(text)
    if match is None:
        raise FailedPrecondition(
            f"The pool told a time that cannot be read: {text!r}.",
            reason="POOL_REFUSED",
            hint="Report this with the pool's version.",
        )
    year, month, day, hour, minute, second = (int(group) for group in match.groups())
    return datetime(year, month, day, hour, minute, second, tzinfo=UTC)
