"""JSON-RPC 1.0 and 2.0 as xapi speaks them (xapi: ocaml/xapi/api_server.ml ``jsoncallback``)."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.simulator.database.row import Row

FORMAT = "json"
_ABSENT = object()
_UNSPEAKABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_TEXT = json.JSONEncoder(ensure_ascii=False).encode


class MalformedRequest(ValueError):
    """The text is not a JSON-RPC request; there is nothing to answer but an HTTP error."""


@dataclass(frozen=True)
class Request:
    """``version`` is 1 or 2."""

    version: int
    method: str
    params: list[Any]
    id: int | str


def encode(value: Any) -> str:
    """The value as compact JSON; moments are strings, nothing is ``""``. What is no number is ``NaN`` or
    ``Infinity``, as Yojson writes it, which xapi's answers come from.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _TEXT(str(value))
    if isinstance(value, float):
        return json.dumps(value)
    if isinstance(value, int):
        return str(int(value))
    if value is None:
        return '""'
    if isinstance(value, Row):
        if FORMAT not in value.encoded:
            value.encoded[FORMAT] = _object(value)
        return value.encoded[FORMAT]
    if isinstance(value, Mapping):
        return _object(value)
    return f"[{','.join(map(encode, value))}]"


def decode(body: bytes) -> Request:
    """Raises ``MalformedRequest``."""
    try:
        message = json.loads(body.decode("utf-8", "surrogateescape"))
    except (ValueError, RecursionError) as error:
        raise MalformedRequest(f"Yojson.Json_error({error})") from error
    if not isinstance(message, dict):
        raise MalformedRequest("Jsonrpc.Malformed_method_request")
    marker = message.get("jsonrpc", _ABSENT)
    if marker is not _ABSENT and marker != "2.0":
        raise MalformedRequest("Jsonrpc.Malformed_method_request: jsonrpc")
    version = 1 if marker is _ABSENT else 2
    method, params, id_ = (
        message.get("method"),
        message.get("params", [] if version == 2 else None),
        message.get("id"),
    )
    if version == 2 and isinstance(params, dict):
        params = [params]
    if not isinstance(method, str) or not isinstance(params, list):
        raise MalformedRequest("Jsonrpc.Malformed_method_request: method or params")
    if isinstance(id_, bool) or not isinstance(id_, (int, str)):
        raise MalformedRequest("Jsonrpc.Malformed_method_request: id")
    return Request(version, method, params, id_)


def success(request: Request, value: Any) -> str:
    if request.version == 1:
        return f'{{"result":{encode(value)},"error":null,"id":{encode(request.id)}}}'
    return f'{{"jsonrpc":"2.0","result":{encode(value)},"id":{encode(request.id)}}}'


def failure(request: Request, description: list[str]) -> str:
    if request.version == 1:
        return f'{{"result":null,"error":{encode(description)},"id":{encode(request.id)}}}'
    error = {"code": 1, "message": description[0], "data": description[1:]}
    return f'{{"jsonrpc":"2.0","error":{encode(error)},"id":{encode(request.id)}}}'


def failure_before_dispatch(description: list[str]) -> str:
    """What an exception outside the dispatcher becomes: the 1.0 shape and id 0, whatever was asked."""
    return f'{{"result":null,"error":{encode(description)},"id":0}}'


def _object(members: Mapping[str, Any]) -> str:
    return f"{{{','.join(f'{_TEXT(str(k))}:{encode(v)}' for k, v in members.items() if v is not None)}}}"


def unspeakable(value: Any) -> str | None:
    """The first text in ``value`` with a character that XML cannot carry, None when there is none."""
    if isinstance(value, str):
        return value if _UNSPEAKABLE.search(value) else None
    parts = value if isinstance(value, list) else [*value, *value.values()] if isinstance(value, dict) else []
    return next((found for part in parts if (found := unspeakable(part)) is not None), None)
