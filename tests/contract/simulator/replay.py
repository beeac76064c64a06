"""Sending recorded requests to a simulated pool, byte for byte, with its own references in place of the
recorded.
"""

import asyncio
import base64
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.contract.simulator.summaries import summary

GOLDEN = Path(__file__).parent / "golden"
ANSWER_TIMEOUT_S = 20.0


@dataclass
class Answer:
    status: int
    version: str
    reason: str
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
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                return await _read_answer(reader)
        finally:
            writer.close()
            await writer.wait_closed()

    def learn(self, exchange: dict[str, Any], answer: Answer) -> None:
        made = exchange["response"].get("made")
        ours = _single_reference(answer.body)
        if made is not None and ours is not None:
            self.names[made] = ours

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
            text = text.replace(recorded, ours)
        return text


def recordings(name: str) -> list[dict[str, Any]]:
    return list(json.loads((GOLDEN / f"{name}.json").read_text("utf-8")))


def differences(exchange: dict[str, Any], answer: Answer) -> dict[str, tuple[Any, Any]]:
    """What the pool answered otherwise: (recorded, ours) by name."""
    recorded = exchange["response"]
    pairs = {
        "status": (recorded["status"], answer.status),
        "version": (recorded["version"], answer.version),
        "reason": (recorded["reason"], answer.reason),
        "headers": (_comparable(recorded["headers"]), _comparable(answer.headers)),
    }
    if "summary" in recorded:
        pairs["body"] = (recorded["summary"], json.loads(json.dumps(summary(answer.body))))
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _comparable(headers: Any) -> list[list[str]]:
    """In order; lengths differ with identities."""
    return [[name, "…" if name.lower() == "content-length" else value] for name, value in headers]


def _single_reference(body: str) -> str | None:
    before, _, rest = body.partition("OpaqueRef:")
    reference = f"OpaqueRef:{rest[:36]}"
    alone = before.endswith(("<name>Value</name><value>", '"result":"'))
    return reference if alone and rest else None


async def _read_answer(reader: asyncio.StreamReader) -> Answer:
    status_line = (await reader.readline()).decode()
    version, status, reason = status_line.strip().split(" ", 2)
    headers: list[tuple[str, str]] = []
    while line := (await reader.readline()).decode().strip():
        name, _, value = line.partition(":")
        headers.append((name, value.strip()))
    length = next((int(value) for name, value in headers if name.lower() == "content-length"), None)
    body = await (reader.read() if length is None else reader.readexactly(length))
    after = "closed" if await _ended(reader) else "open"
    return Answer(int(status), version, reason, headers, body.decode("utf-8", "replace"), after)


async def _ended(reader: asyncio.StreamReader) -> bool:
    try:
        async with asyncio.timeout(0.01):
            return await reader.read(1) == b""
    except (TimeoutError, ConnectionError):
        return False
