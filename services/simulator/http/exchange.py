"""One request and its answer on a connection."""

import asyncio
import html
from collections.abc import Sequence

from services.simulator.http.request import BadRequest, RequestHead

Headers = Sequence[tuple[str, str]]
NO_CACHE = ("cache-control", "no-cache, no-store")
_CORS = (("Access-Control-Allow-Origin", "*"), ("Access-Control-Allow-Headers", "X-Requested-With"))
_PAGES = {
    400: ("Bad Request", ""),
    401: ("unauthorised", "Please check your credentials and retry."),
    403: ("forbidden", "Access to the requested resource is forbidden."),
    404: ("Not Found", ""),
    408: ("request timeout", "Timed out waiting for the request."),
    431: ("request header fields too large", "Exceeded the maximum header size."),
    500: (
        "internal server error",
        "An unexpected error occurred; please wait a while and try again. "
        "If the problem persists, please contact your support representative.",
    ),
}
_REASONS = {
    101: "Switching Protocols",
    200: "OK",
    302: "Found",
    401: "Unauthorised",
    403: "Forbidden",
    404: "Not Found",
    408: "Request Timeout",
    431: "Request Header Fields Too Large",
    400: "Bad Request",
    500: "Internal Error",
    501: "Method not implemented",
    503: "Service Unavailable",
}


class Exchange:
    """``keep_open`` says whether another request may follow on the connection."""

    def __init__(self, head: RequestHead, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.head = head
        self.reader = reader
        self.writer = writer
        self.keep_open = head.keep_alive
        self.answered = False
        self.final = False

    async def read_body(self, limit: int) -> bytes:
        """The whole body. Raises ``BadRequest`` without a length, or when it is over ``limit`` bytes."""
        length = self.head.content_length
        if length is None:
            raise BadRequest(500, 'Failure("We require a content-length: HTTP header")')
        if length > limit:
            raise BadRequest(500, "Http_svr.Client_requested_size_over_limit")
        return await self.reader.readexactly(length)

    async def reply(
        self, body: bytes, content_type: str | None, *, for_browsers: bool = True, extra: Headers = ()
    ) -> None:
        """A whole answer; ``for_browsers``: with CORS headers."""
        await self._send(
            200,
            [
                ("content-length", str(len(body))),
                ("connection", "keep-alive" if self.keep_open else "close"),
                NO_CACHE,
                *([] if content_type is None else [("content-type", content_type)]),
                *(_CORS if for_browsers else ()),
                *extra,
            ],
            body,
            self.head.version,
        )

    async def reply_options(self) -> None:
        headers = [
            ("content-length", "0"),
            ("connection", "keep-alive" if self.keep_open else "close"),
            NO_CACHE,
        ]
        await self._send(200, [*headers, *_CORS, ("Access-Control-Allow-Methods", "PUT")])

    async def reply_error(self, status: int, info: str = "", extra: Headers = ()) -> None:
        """An error page; ``info`` tells more."""
        body = self._page(status, info)
        await self._send(status, [*_error_headers(body), *extra], body)

    async def refuse(self, status: int, reason: str, body: bytes) -> None:
        """An error in words of its own (xapi: http_svr.ml ``response_custom_error``)."""
        self.keep_open = False
        await self._send(status, _error_headers(body), body, reason=reason)

    async def redirect(self, location: str) -> None:
        """To the host that can serve the request."""
        self.keep_open = False
        await self._send(
            302, [("content-length", "0"), ("connection", "close"), NO_CACHE, ("Location", location)]
        )

    async def begin(self, headers: Headers, version: str = "HTTP/1.1") -> None:
        """``200 OK`` before a body of unknown length; the connection's end is the body's."""
        self.keep_open = False
        await self._send(200, headers, version=version)

    async def switch_protocols(self, headers: Headers) -> None:
        """The connection goes on in another protocol."""
        self.keep_open = False
        await self._send(101, headers)

    async def late_error(self, status: int, info: str = "") -> None:
        """An error after ``begin``: a second head in the middle of the body, as xapi really sends.

        Nothing after an answer that was complete.
        """
        if self.final:
            return
        body = self._page(status, info)
        self._write(status, _error_headers(body), body, "HTTP/1.1", colon=":")
        await self.writer.drain()

    async def late_bare_status(self, status: int) -> None:
        """A head without a body after ``begin``, which xapi sends before a late error of a raw import."""
        self._write(
            status, [("Connection", "close"), ("Cache-Control", "no-cache, no-store")], b"", "HTTP/1.1"
        )
        await self.writer.drain()

    async def bare_status(self, status: int, version: str = "HTTP/1.1") -> None:
        """A head without a body; the connection ends."""
        self.keep_open = False
        self.final = True
        await self._send(
            status, [("Connection", "close"), ("Cache-Control", "no-cache, no-store")], b"", version
        )

    async def _send(
        self,
        status: int,
        headers: Headers,
        body: bytes = b"",
        version: str = "HTTP/1.1",
        reason: str | None = None,
    ) -> None:
        self.answered = True
        self._write(status, headers, body, version, reason=reason)
        await self.writer.drain()

    def _write(
        self,
        status: int,
        headers: Headers,
        body: bytes,
        version: str,
        colon: str = ": ",
        reason: str | None = None,
    ) -> None:
        lines = [
            f"{version} {status} {reason or _REASONS[status]}",
            *(f"{name}{': ' if name == 'content-length' else colon}{value}" for name, value in headers),
            "",
            "",
        ]
        self.writer.write("\r\n".join(lines).encode() + body)

    def _page(self, status: int, info: str) -> bytes:
        if status == 501:
            text = f"<p>Unknown {html.escape(self.head.method)} not supported.<br /></p>"
            return f"<html><body><h1>HTTP 501 Method Not Implemented</h1>{text}</body></html>".encode()
        title, text = _PAGES[status]
        more = (
            f"<h1> Additional information </h1>{html.escape(info).replace('&#x27;', chr(39))}" if info else ""
        )
        return f"<html><body><h1>HTTP {status} {title}</h1>{text}{more}</body></html>".encode()


def _error_headers(body: bytes) -> Headers:
    return [
        ("content-length", str(len(body))),
        ("content-type", "text/html"),
        ("connection", "close"),
        NO_CACHE,
    ]
