"""What must be the same in two answers from two pools: everything but identities, times, and the contents
of records.
"""

import json
import re
import xmlrpc.client
from typing import Any

_REF = re.compile(r"(OpaqueRef|DummyRef):\|?[0-9a-f]{8}-[0-9a-f-]{27}")
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_TRACK = re.compile(r"trackid=[0-9a-f]{32}")
_TIME = re.compile(r"\d{8}T\d\d:\d\d:\d\dZ")
_TOKEN = re.compile(r"\d{20},\d{20}")
_EXPLANATION = re.compile(r"<h1> Additional information </h1>.*(?=</body>)", re.DOTALL)
LONG_LIST = 50


def summary(body: str) -> Any:
    """The answer as a small value that can be compared, whatever its encoding."""
    if body.startswith("<html>"):
        return _EXPLANATION.sub("<h1> Additional information </h1>", body)
    if "methodResponse" in body[:80]:
        (value,), _ = xmlrpc.client.loads(body)
        return {"xml": _reduced(value)}
    if body.startswith("{"):
        return {"json": _reduced(json.loads(body))}
    return body


def _reduced(value: Any) -> Any:
    if isinstance(value, xmlrpc.client.DateTime):
        return "a moment"
    if isinstance(value, str):
        return _anonymous(value)
    if isinstance(value, list):
        return _reduced_list(value)
    if not isinstance(value, dict):
        return value
    if "valid_ref_counts" in value:
        counts = value["valid_ref_counts"]
        return {"events": _reduced_list(value["events"]), "counted": sorted(counts), "token": "a token"}
    if {"class", "operation", "ref"} <= set(value):
        return (
            f"{value['operation']} {value['class']} {'with' if 'snapshot' in value else 'without'} snapshot"
        )
    if "uuid" in value or "exportname" in value:
        return {"a record of": sorted(value)}
    if value and all(isinstance(name, str) and name.startswith("OpaqueRef:") for name in value):
        return {"records, each of": _reduced(next(iter(value.values())))}
    return {name: _reduced(item) for name, item in sorted(value.items())}


def _reduced_list(value: list[Any]) -> Any:
    items = [_reduced(item) for item in value]
    if items and all(item == "a ref" for item in items):
        return ["refs"]
    if len(items) > LONG_LIST and all(isinstance(item, str) for item in items):
        return ["a long list"]
    return items


def _anonymous(text: str) -> str:
    if _REF.fullmatch(text):
        return "a ref"
    text = _REF.sub("<ref>", text)
    text = _UUID.sub("<uuid>", text)
    text = _TRACK.sub("trackid=<hex>", text)
    return _TOKEN.sub("a token", _TIME.sub("a moment", text))
