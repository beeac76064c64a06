"""Default values of fields and parameters, from the way the data model writes them."""

import re
from typing import Any

from services.simulator.model.types import Kind, Type
from services.simulator.wire.datetimes import EPOCH, DateTime

NULL_REF = "OpaqueRef:NULL"
_PAIR = re.compile(r'"([^"]*)" -> "([^"]*)"')


def empty_value(type_: Type) -> Any:
    """What xapi stores for a field of this type that nobody set."""
    match type_.kind:
        case Kind.INT:
            return 0
        case Kind.FLOAT:
            return 0.0
        case Kind.BOOL:
            return False
        case Kind.DATETIME:
            return EPOCH
        case Kind.REF:
            return NULL_REF
        case Kind.SET:
            return []
        case Kind.MAP | Kind.RECORD:
            return {}
        case Kind.OPTION:
            return None
        case _:
            return ""


def default_value(written: Any, type_: Type) -> Any:
    """The value behind ``written``, which is OCaml-like text for fields and often plain JSON for
    parameters.
    """
    if not isinstance(written, str):
        return (
            [*written] if isinstance(written, list) else {**written} if isinstance(written, dict) else written
        )
    match type_.kind:
        case Kind.INT:
            return int(written)
        case Kind.FLOAT:
            return float(written)
        case Kind.BOOL:
            return written == "true"
        case Kind.DATETIME:
            return DateTime(written)
        case Kind.REF:
            return written if written.startswith("OpaqueRef:") else NULL_REF
        case Kind.SET:
            return [] if "OpaqueRef" in written or written == "{}" else _set_items(written, type_)
        case Kind.MAP:
            return dict(_PAIR.findall(written))
        case Kind.OPTION:
            return None
        case _:
            return "" if written == "Null" else written.strip('"')


def _set_items(written: str, type_: Type) -> list[Any]:
    inside = written.strip("{}")
    return [default_value(item.strip(), type_.item) for item in inside.split(",")] if type_.item else []
