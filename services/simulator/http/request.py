"""A request head, read with the limits of xapi's server (xapi: ocaml/libs/http-lib/http_svr.ml)."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

HEAD_LIMIT = 16 * 1024
HEAD_TIMEOUT_S = 10.0
"""From the first byte of a request to the end of its head."""


class BadRequest(Exception):
    """Ends the connection after an HTTP error; ``info`` goes into the page, ``headers`` into its head."""

    def __init__(self, status: int, info: str = "") -> None:
        super().__init__(status, info)
        self.status = status
        self.info = info
        self.headers: list[tuple[str, str]] = []


@dataclass(frozen=True)
class RequestHead:
    """``target`` is the path as sent, ``path`` is decoded and without its query; headers keep their order."""

    method: str
    target: str
    path: str
    query: dict[str, str]
    version: str
    headers: Sequence[tuple[str, str]]

    def header(self, name: str) -> str | None:
        """The first header of that name in any case."""
        return next((value for key, value in self.headers if key.lower() == name), None)

    @property
    def keep_alive(self) -> bool:
        asked = (self.header("connection") or "").strip().lower()
        return asked == "keep-alive" if self.version == "HTTP/1.0" else asked != "close"

    @property
    def content_length(self) -> int | None:
        """None when absent. Raises ``BadRequest`` for text that is no length."""
        text = self.header("content-length")
        if text is None:
            return None
        if not text.strip().isdecimal():
            wrong = (
                'Invalid_argument("Bytes.create")'
                if text.strip().startswith("-")
                else 'Failure("Int64.of_string")'
            )
            raise BadRequest(500, wrong)
        return int(text)

    @property
    def cookies(self) -> dict[str, str]:
        """xapi splits the Cookie header at ``&``, not at ``;`` (recorded)."""
        pairs = (pair.partition("=") for pair in (self.header("cookie") or "").split("&"))
        return {name.strip(): value.strip() for name, _, value in pairs if name.strip()}


async def read_head(reader: asyncio.StreamReader) -> RequestHead | None:
    """The next request, None when the client has no more. Raises ``BadRequest``."""
    try:
        line = await reader.readline()
    except ValueError:
        raise BadRequest(431) from None
    if not line.strip():
        return None
    try:
        async with asyncio.timeout(HEAD_TIMEOUT_S):
            headers = await _read_headers(reader)
    except TimeoutError:
        raise BadRequest(408) from None
    parts = line.decode("latin-1").split()
    if len(parts) != 3:
        raise BadRequest(500, 'Invalid_argument("String.sub / Bytes.sub")')
    method, target, version = parts
    if not target.startswith("/"):
        raise BadRequest(403)
    path, _, query = target.partition("?")
    return RequestHead(method, target, _unescape(path), _query(query), version, headers)


async def _read_headers(reader: asyncio.StreamReader) -> list[tuple[str, str]]:
    headers: list[tuple[str, str]] = []
    size = 0
    while True:
        try:
            line = await reader.readline()
        except ValueError:
            raise BadRequest(431) from None
        size += len(line)
        if size > HEAD_LIMIT:
            raise BadRequest(431)
        if not line.strip():
            return headers
        name, _, value = line.decode("latin-1").partition(":")
        headers.append((name.strip(), value.strip()))


def _query(text: str) -> dict[str, str]:
    pairs = (pair.partition("=") for pair in text.split("&") if pair)
    return {_unescape(name): _unescape(value) for name, _, value in pairs}


def _unescape(text: str) -> str:
    for position, char in enumerate(text):
        digits = text[position + 1 : position + 3]
        if char == "%" and not (
            len(digits) == 2 and all(digit in "0123456789abcdefABCDEF" for digit in digits)
        ):
            raise BadRequest(500, f'Http.Malformed_url("{text[position : position + 3]}")')
    return unquote_to_bytes(text).decode("utf-8", "replace")
