"""What an HTTP server says, as far as it may be told: never more than statuses and codes."""

import re
from typing import Final
from urllib.parse import urlsplit

_STATUS: Final = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})[ \r]")
_LOCATION: Final = re.compile(rb"\r\nlocation:[ \t]*([\x21-\x7e]+)[ \t]*\r\n", re.IGNORECASE)
_FAILURE_CODE: Final = re.compile(rb"\b([A-Z][A-Z0-9_]{3,63}): \[")


def status(head: bytes) -> int:
    """0 when it is no head of an HTTP answer."""
    found = _STATUS.match(head)
    return int(found.group(1)) if found else 0


def location(head: bytes) -> str:
    """Where else to ask; empty when it does not say."""
    found = _LOCATION.search(head)
    return found.group(1).decode("ascii") if found else ""


def https_address(location: str) -> tuple[str, int] | None:
    """Host and port; None when it is not an HTTPS address."""
    try:
        parts = urlsplit(location)
        if parts.scheme == "https" and parts.hostname:
            return parts.hostname, parts.port or 443
    except ValueError:
        pass
    return None


def complaint_words(said: bytes) -> list[str]:
    """The last status and the first code of xapi's in what came where nothing was expected."""
    code = _FAILURE_CODE.search(said)
    words = (*_STATUS.findall(said)[-1:], *(code.groups() if code else ()))
    return [word.decode("ascii") for word in words]
