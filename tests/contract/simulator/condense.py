"""From a full recording to the one that is kept: answers as summaries, and where identities came from.

``python -m tests.contract.simulator.condense RECORDING.json GOLDEN.json``. An identity (a reference, uuid or
event token) that a later request needs is noted at the first answer that shows it, with the path to it.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from tests.contract.simulator.identities import IDENTITY, parsed, paths
from tests.contract.simulator.summaries import record_summary, summary

DROPPED = {"elapsed_s", "how_ended", "http_version", "transport", "send_error"}
HOST = re.compile(r"10\.77\.0\.1(:\d+)?|xapi-dev(?:\.[a-z]+)*")


def condensed(exchanges: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Every exchange with its number in the recording."""
    wanted = set().union(*(IDENTITY.findall(json.dumps(exchange["request"])) for exchange in exchanges))
    return [_exchange(number, exchange, wanted, exchanges) for number, exchange in enumerate(exchanges)]


def _exchange(
    number: int, exchange: dict[str, Any], wanted: set[str], exchanges: list[dict[str, Any]]
) -> dict[str, Any]:
    request, response = exchange["request"], exchange["response"]
    body = _body(response, exchanges)
    kept = {
        "n": number,
        "note": exchange["note"],
        **({"stub": exchange["stub"]} if "stub" in exchange else {}),
        "request": _cleaned(request) | {"version": request.get("http_version", "HTTP/1.1")},
        "response": {
            "status": response["status"],
            "version": response.get("http_version"),
            "reason": response.get("reason"),
            "headers": response.get("headers", []),
            "how_ended": response["how_ended"],
            "connection_after": response.get("connection_after"),
        },
    }
    value = None if body is None else parsed(body)
    if body is not None and "stub" not in exchange:
        kept["response"]["summary"] = record_summary(value) if value is not None else summary(body)
    made = [[identity, path] for identity, path in paths(value) if identity in wanted]
    wanted.difference_update(identity for identity, _ in made)
    if made:
        kept["response"]["made"] = made
    return kept


def _cleaned(request: dict[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in request.items() if name not in DROPPED and name != "note"}
    if "shut down" in request.get("note", ""):
        kept["half_closed"] = True
    kept["headers"] = [[name, HOST.sub("pool.example", value)] for name, value in request["headers"]]
    return kept


def _body(response: dict[str, Any], exchanges: list[dict[str, Any]]) -> str | None:
    """The answer's text; None for one that is bytes, or was cut."""
    if "body_same_as" in response:
        index, side = response["body_same_as"]
        return _body(exchanges[index][side], exchanges)
    body = response.get("body")
    return body if isinstance(body, str) and not response.get("body_truncated") else None


def main() -> None:
    source, target = (Path(name) for name in sys.argv[1:])
    exchanges = condensed(json.loads(source.read_text("utf-8")))
    lines = ",\n".join(json.dumps(exchange) for exchange in exchanges)
    target.write_text(f"[\n{lines}\n]\n", "utf-8")


if __name__ == "__main__":
    main()
