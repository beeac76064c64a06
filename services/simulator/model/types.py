"""Types of the data model, read from their text (``VM ref set``, ``(string -> string) map``)."""

import functools
from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """The shape of a value."""

    VOID = "void"
    STRING = "string"
    INT = "int"
    FLOAT = "float"
    BOOL = "bool"
    DATETIME = "datetime"
    REF = "ref"
    ENUM = "enum"
    SET = "set"
    MAP = "map"
    RECORD = "record"
    OPTION = "option"


@dataclass(frozen=True)
class Type:
    """``name`` is the class of a ref or record, or the enum's name; ``item`` what a set, option or map
    holds.
    """

    kind: Kind
    name: str = ""
    item: "Type | None" = None
    key: "Type | None" = None


_PLAIN = {
    kind.value: Type(kind)
    for kind in (Kind.VOID, Kind.STRING, Kind.INT, Kind.FLOAT, Kind.BOOL, Kind.DATETIME)
}
_SUFFIXES = (" set", " option", " map", " ref", " record")


@functools.cache
def parse_type(text: str) -> Type:
    """The type that ``text`` names. Raises ``ValueError`` for text of another form."""
    if text in _PLAIN:
        return _PLAIN[text]
    if text.startswith("enum ") and not text.endswith(_SUFFIXES):
        return Type(Kind.ENUM, text.removeprefix("enum "))
    head, _, last = text.rpartition(" ")
    match last:
        case "set":
            return Type(Kind.SET, item=parse_type(head))
        case "option":
            return Type(Kind.OPTION, item=parse_type(head))
        case "ref":
            return Type(Kind.REF, head)
        case "record":
            return Type(Kind.RECORD, head)
        case "map":
            key, _, value = head.removeprefix("(").removesuffix(")").partition(" -> ")
            return Type(Kind.MAP, key=parse_type(key), item=parse_type(value))
    raise ValueError(f"the data model has no type {text!r}")
