"""What an address may look like. Every check answers a sentence that says what is wrong, or nothing."""

import re
from collections.abc import Iterator, Sequence

_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|[0-9A-Fa-f:]{2,45}")
_MAILBOX = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9.-]{1,253}")
_NUMBER = re.compile(r"\+?[0-9]{3,15}")
_PRINTABLE = re.compile(r"[\x20-\x7e]*")
MOST_RECIPIENTS = 50


def endpoint(host: str, port: int) -> Iterator[str]:
    if not _HOST.fullmatch(host):
        yield f"host {host[:80]!r} is neither a host name nor an address"
    if not 1 <= port <= 65535:
        yield f"port {port} is not between 1 and 65535"


def mailbox(what: str, value: str) -> Iterator[str]:
    """ASCII only: an internationalised mailbox needs SMTPUTF8 (RFC 6531) all the way; few relays offer it."""
    if not _MAILBOX.fullmatch(value):
        yield f"{what} {value[:80]!r} is not a mail address of the form name@domain (ASCII, no display name)"


def number(value: str) -> Iterator[str]:
    """ITU-T E.164 gives a number 15 digits at most."""
    if not _NUMBER.fullmatch(value):
        yield f"recipient {value[:80]!r} is not a telephone number (digits, an optional leading +)"


def printable(what: str, value: str, longest: int, shortest: int = 0) -> Iterator[str]:
    if not shortest <= len(value) <= longest or not _PRINTABLE.fullmatch(value):
        yield f"{what} must be {shortest} to {longest} printable ASCII characters"


def file_name(what: str, value: str) -> Iterator[str]:
    if len(value) > 1000 or any(ord(c) < 0x20 for c in value):
        yield f"{what} is not a file name"


def recipients(values: Sequence[str]) -> Iterator[str]:
    if not values:
        yield "there are no recipients"
    if len(values) > MOST_RECIPIENTS:
        yield f"there are {len(values)} recipients; {MOST_RECIPIENTS} is the limit"
    if len(set(values)) != len(values):
        yield "a recipient is named twice"
