"""Sending recorded requests to a simulated pool, byte for byte, with its own references in place of the
recorded.
"""

import asyncio
import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.contract.simulator.identities import IDENTITY, at, parsed
from tests.contract.simulator.summaries import record_summary, summary
from tests.support.waiting import PATIENCE_S

GOLDEN = Path(__file__).parent / "golden"
_ALONE = (("xml", "Value"), ("json", "result"))
"""Where an answer holds its only value."""
OF_THIS_ANSWER = ("content-length", "task-id")
"""Headers whose value nobody can foretell."""
HUNG_S = 0.5
"""For an answer that never ended when it was recorded."""
ANSWER_TIMEOUT_S = PATIENCE_S


@dataclass
class Answer:
    """Without a status when the connection ended before one."""

    status: int | None
    version: str | None
    reason: str | None
    headers: list[tuple[str, str]]
    body: str
    connection_after: str


@dataclass
class Replay:
    """``names`` maps recorded references and uuids to the pool's; it grows as the pool makes objects."""

    address: str
    port: int
    names: dict[str, str] = field(default_factory=dict)

    async def send(self, exchange: dict[str, Any]) -> Answer:
        """The pool's answer; what it made is remembered under the recorded name."""
        reader, writer = await asyncio.open_connection(self.address, self.port)
        try:
            writer.write(self._request(exchange["request"]))
            await writer.drain()
            if exchange["request"].get("half_closed"):
                writer.write_eof()
            hung = exchange["response"]["how_ended"].startswith("timeout")
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                return await _read_answer(reader, HUNG_S if hung else ANSWER_TIMEOUT_S)
        finally:
            writer.close()
            await writer.wait_closed()

    def learn(self, exchange: dict[str, Any], answer: Answer) -> None:
        """Remember what was made, unless it had a name already."""
        made = exchange["response"].get("made", [])
        pairs: list[tuple[str, Sequence[str | int]]] = (
            [(made, path) for path in _ALONE] if isinstance(made, str) else made
        )
        value = parsed(answer.body)
        for recorded, path in pairs:
            ours = at(value, path)
            if ours is not None:
                self.names.setdefault(recorded, ours)

    def _request(self, request: dict[str, Any]) -> bytes:
        if "raw_head_base64" in request:
            return base64.b64decode(request["raw_head_base64"]) + self._body(request)
        path = self._translated(request["path"])
        lines = [f"{request['method']} {path} {request['version']}"]
        lines += [f"{name}: {self._translated(value)}" for name, value in request["headers"]]
        return "\r\n".join([*lines, "", ""]).encode() + self._body(request)

    def _body(self, request: dict[str, Any]) -> bytes:
        if "body_base64" in request:
            body = base64.b64decode(request["body_base64"])
            for recorded, ours in self.names.items():
                body = body.replace(recorded.encode(), ours.encode())
            return body
        return self._translated(request.get("body", "")).encode()

    def _translated(self, text: str) -> str:
        for recorded, ours in self.names.items():
            text = text.replace(recorded, ours).replace(quote(recorded), quote(ours))
        return text


def recordings(name: str) -> list[dict[str, Any]]:
    return list(json.loads((GOLDEN / f"{name}.json").read_text("utf-8")))


def head_differences(exchange: dict[str, Any], answer: Answer) -> dict[str, tuple[Any, Any]]:
    """What the pool answered otherwise, but for the body: (recorded, ours) by name."""
    recorded = exchange["response"]
    pairs = {
        "status": (recorded["status"], answer.status),
        "version": (recorded["version"], answer.version),
        "reason": (recorded["reason"], answer.reason),
        "headers": (_comparable(recorded["headers"]), _comparable(answer.headers)),
    }
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def differences(exchange: dict[str, Any], answer: Answer) -> dict[str, tuple[Any, Any]]:
    """What the pool answered otherwise: (recorded, ours) by name."""
    recorded, found = exchange["response"], head_differences(exchange, answer)
    if "summary" in recorded:
        value = parsed(answer.body)
        ours = summary(answer.body) if value is None else record_summary(value)
        if "a record with" not in json.dumps(recorded["summary"]):
            ours = summary(answer.body)
        pair = (_without_identities(recorded["summary"]), _without_identities(json.loads(json.dumps(ours))))
        if pair[0] != pair[1]:
            found["body"] = pair
    return found


def _without_identities(value: Any) -> Any:
    """Of an answer that is plain text: values have lost theirs already."""
    return IDENTITY.sub("…", value) if isinstance(value, str) else value


def _comparable(headers: Any) -> list[list[str]]:
    """In order; lengths differ with identities."""
    return [
        [name, "…" if name.lower() in OF_THIS_ANSWER else IDENTITY.sub("…", value)] for name, value in headers
    ]


async def _read_answer(reader: asyncio.StreamReader, body_patience_s: float) -> Answer:
    """``body_patience_s``: a body that has not ended by then counts as empty."""
    status_line = (await reader.readline()).decode()
    if not status_line:
        return Answer(None, None, None, [], "", "closed")
    version, status, reason = status_line.strip().split(" ", 2)
    headers: list[tuple[str, str]] = []
    while line := (await reader.readline()).decode().strip():
        name, _, value = line.partition(":")
        headers.append((name, value.strip()))
    length = next((int(value) for name, value in headers if name.lower() == "content-length"), None)
    try:
        async with asyncio.timeout(body_patience_s):
            body = await (reader.read() if length is None else reader.readexactly(length))
    except TimeoutError:
        body = b""
    after = "closed" if await _ended(reader) else "open"
    return Answer(int(status), version, reason, headers, body.decode("utf-8", "replace"), after)


async def _ended(reader: asyncio.StreamReader) -> bool:
    try:
        async with asyncio.timeout(0.01):
            return await reader.read(1) == b""
    except (TimeoutError, ConnectionError):
        return False
