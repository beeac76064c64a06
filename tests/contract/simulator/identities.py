"""References, uuids and event tokens in an answer, and where in it they are."""

from __future__ import annotations

import json
import re
import xmlrpc.client
from collections.abc import Iterator, Sequence
from typing import Any

IDENTITY = re.compile(
    r"OpaqueRef:[0-9a-f]{8}-[0-9a-f-]{27}"
    r"|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
    r"|\d{20},\d{20}"
)
REFERENCE = re.compile(r"OpaqueRef:[0-9a-f]{8}-[0-9a-f-]{27}")
Path = list[str | int]


def parsed(body: str) -> Any:
    """The value of an XML-RPC or JSON-RPC answer; None when it is neither."""
    if "methodResponse" in body[:80]:
        try:
            (value,), _ = xmlrpc.client.loads(body)
        except xmlrpc.client.Fault as fault:
            return {"fault": fault.faultString}
        return {"xml": value}
    if body.startswith("{"):
        try:
            return {"json": json.loads(body)}
        except json.JSONDecodeError:
            return None  # a disk that happens to begin so
    return None


def paths(value: Any, path: Path | None = None) -> Iterator[tuple[str, Path]]:
    """Every identity that is a whole value, a key of a struct, or inside a text. A key's path ends in ``#``
    and its position; one inside a text ends in ``~`` and its number there.
    """
    here = path or []
    if isinstance(value, str):
        if IDENTITY.fullmatch(value):
            yield value, here
        else:
            for number, match in enumerate(IDENTITY.finditer(value)):
                yield match.group(), [*here, "~", number]
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from paths(item, [*here, number])
    elif isinstance(value, dict):
        for number, (key, item) in enumerate(value.items()):
            if IDENTITY.fullmatch(key):
                yield key, [*here, "#", number]
                yield from paths(item, [*here, "#value", number])
            else:
                yield from paths(item, [*here, key])


def at(value: Any, path: Sequence[str | int]) -> str | None:
    """What another answer has there; None when it has nothing."""
    steps: list[Any] = list(path)
    try:
        while steps:
            step = steps.pop(0)
            if step == "~":
                return str(IDENTITY.findall(value)[steps[0]])
            if step == "#":
                return str(list(value)[steps[0]])
            values = list(value.values()) if step == "#value" else value
            value = values[steps.pop(0) if step == "#value" else step]
    except (KeyError, IndexError, TypeError):
        return None
    return value if isinstance(value, str) and IDENTITY.fullmatch(value) else None
