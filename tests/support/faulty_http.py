"""A small HTTP proxy that misbehaves on request."""

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.support.waiting import PATIENCE_S

Answer = tuple[int, str]
"""A status and an S3 error code, in place of the server's answer."""
Fault = Answer | str
"""Or: ``lost`` (done, unanswered), ``cut`` (half the body), ``hang``, ``flip`` (a bit), ``other`` (range)."""
HOP = {"connection", "transfer-encoding", "keep-alive"}


@dataclass
class FaultyProxy:
    """``fault(method, path)`` is asked at every request; None passes it on unharmed."""

    upstream: str
    fault: Callable[[str, str], Fault | None] = lambda _method, _path: None
    requests: list[tuple[str, str]] = field(default_factory=list)
    ending: threading.Event = field(default_factory=threading.Event)
    port: int = 0

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def first(self, count: int, fault: Fault, method: str = "") -> None:
        """The next ``count`` requests (of ``method``) go wrong."""
        left = [fault] * count

        def choose(asked: str, _path: str) -> Fault | None:
            return left.pop() if left and method in ("", asked) else None

        self.fault = choose


@contextmanager
def faulty_proxy(upstream: str) -> Iterator[FaultyProxy]:
    """Serves while inside; every connection is closed afterwards."""
    proxy = FaultyProxy(upstream.removeprefix("http://"))
    handler = type("Handler", (_Handler,), {"proxy": proxy})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    proxy.port = server.server_address[1]
    thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.02))
    thread.start()
    try:
        yield proxy
    finally:
        proxy.ending.set()
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    """One request a connection."""

    proxy: FaultyProxy

    def _serve(self) -> None:
        proxy = self.proxy
        proxy.requests.append((self.command, self.path))
        if self.headers.get("Expect"):
            self.send_response_only(100)
            self.end_headers()
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.close_connection = True
        fault = proxy.fault(self.command, self.path)
        if fault == "hang":
            proxy.ending.wait(30)
            return
        if isinstance(fault, tuple):
            text = f"<Error><Code>{fault[1]}</Code><Message>no</Message></Error>" if fault[1] else ""
            self._answer(fault[0], [], b"" if self.command == "HEAD" else text.encode())
            return
        status, headers, data = self._forward(body)
        if fault == "lost":
            return
        if fault == "flip":
            data = bytes([data[0] ^ 1]) + data[1:]
        if fault == "other":
            headers = [(k, "bytes 7-9/10" if k.lower() == "content-range" else v) for k, v in headers]
        self._answer(status, headers, data, half=fault == "cut")

    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = _serve

    def _forward(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        upstream = http.client.HTTPConnection(self.proxy.upstream, timeout=PATIENCE_S)
        try:
            headers = {k: v for k, v in self.headers.items() if k.lower() not in {*HOP, "expect"}}
            upstream.request(self.command, self.path, body or None, headers)
            answer = upstream.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            upstream.close()

    def _answer(
        self, status: int, headers: list[tuple[str, str]], data: bytes, *, half: bool = False
    ) -> None:
        self.send_response_only(status)
        kept = [(k, v) for k, v in headers if k.lower() not in HOP]
        if not any(k.lower() == "content-length" for k, _ in kept) and status != 204:
            kept.append(("Content-Length", str(len(data))))
        for key, value in [*kept, ("Connection", "close")]:
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(data[: len(data) // 2] if half else data)

    def log_message(self, *_: Any) -> None:
        """Quiet."""
