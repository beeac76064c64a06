"""XML-RPC as xapi speaks it.

Numbers go out untyped, only ``& < > "`` are escaped, nothing is void (xapi: ocaml-rpc, xmlrpc.ml
``add_value``); what comes in may be typed or not. Calls are read with entities refused, because a call is
whatever a stranger sent.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from xml.parsers import expat

from services.simulator.database.row import Row
from services.simulator.wire.datetimes import DateTime

FORMAT = "xml"
_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"})
_DROPPED = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")


class Int4(int):
    """An int that goes out typed (``<i4>``); only ``valid_ref_counts`` of ``event.from`` does."""


class MalformedCall(ValueError):
    """The text is not an XML-RPC call; there is nothing to answer but an HTTP error."""


def encode(value: Any) -> str:
    """A ``<value>`` element."""
    if isinstance(value, bool):
        return f"<value><boolean>{int(value)}</boolean></value>"
    if isinstance(value, Int4):
        return f"<value><i4>{value}</i4></value>"
    if isinstance(value, float):
        return f"<value><double>{value:.16g}</double></value>"
    if isinstance(value, DateTime):
        return f"<value><dateTime.iso8601>{value}</dateTime.iso8601></value>"
    if isinstance(value, (str, int)):
        return f"<value>{_escape(str(value))}</value>"
    if value is None:
        return "<value></value>"
    if isinstance(value, Row):
        if FORMAT not in value.encoded:
            value.encoded[FORMAT] = _struct(value)
        return value.encoded[FORMAT]
    if isinstance(value, Mapping):
        return _struct(value)
    return f"<value><array><data>{''.join(map(encode, value))}</data></array></value>"


def success(value: Any) -> str:
    return _response({"Status": "Success", "Value": "" if value is None else value})


def failure(description: list[str]) -> str:
    return _response({"Status": "Failure", "ErrorDescription": description})


def bare(value: Any) -> str:
    """A response without the Status envelope (``system.listMethods``)."""
    return _response(value)


def decode_call(body: bytes) -> tuple[str, list[Any]]:
    """The method name and its parameters. Raises ``MalformedCall``."""
    root = _parse(body)
    if root.tag != "methodCall":
        raise MalformedCall(f'Xmlrpc.Parse_error("open_tag({root.tag})", ...)')
    children = {child.tag: child for child in root.children}
    if "methodName" not in children or "params" not in children:
        raise MalformedCall('Xmlrpc.Parse_error("close_tag", ...)')
    return children["methodName"].text, [_only(param, "value") for param in children["params"].children]


def decode_value(body: bytes) -> Any:
    """A document that is one ``<value>``: a task result, ``ova.xml``. Raises ``MalformedCall``."""
    return _value(_parse(body))


def _response(value: Any) -> str:
    params = f"<params><param>{encode(value)}</param></params>"
    return f'<?xml version="1.0"?><methodResponse>{params}</methodResponse>'


def _escape(text: str) -> str:
    return _DROPPED.sub("", text).translate(_ESCAPES)


def _struct(members: Mapping[str, Any]) -> str:
    inner = "".join(
        f"<member><name>{_escape(str(name))}</name>{encode(value)}</member>"
        for name, value in members.items()
        if value is not None
    )
    return f"<value><struct>{inner}</struct></value>"


@dataclass
class _Element:
    tag: str
    children: "list[_Element]" = field(default_factory=list)
    text: str = ""


def _parse(body: bytes) -> _Element:
    parser = expat.ParserCreate()
    top = _Element("")
    path = [top]

    def start(tag: str, _: dict[str, str]) -> None:
        path[-1].children.append(element := _Element(tag))
        path.append(element)

    def text(data: str) -> None:
        path[-1].text += data

    def entity(name: str, *_: Any) -> None:
        raise MalformedCall(f'Xmlm.Error("unknown entity reference ({name})")')

    parser.buffer_text = True
    parser.StartElementHandler = start
    parser.EndElementHandler = lambda _: path.pop() and None
    parser.CharacterDataHandler = text
    parser.EntityDeclHandler = entity
    try:
        parser.Parse(body, True)
    except expat.ExpatError as error:
        raise MalformedCall(f'Xmlm.Error("{error}")') from error
    return top.children[0]


def _only(element: _Element, tag: str) -> Any:
    if len(element.children) != 1 or element.children[0].tag != tag:
        raise MalformedCall(f'Xmlrpc.Parse_error("{element.tag}", expected {tag})')
    return _value(element.children[0])


def _value(element: _Element) -> Any:
    if not element.children:
        return element.text
    typed = element.children[0]
    try:
        return _TYPED[typed.tag](typed)
    except KeyError:
        raise MalformedCall(f'Xmlrpc.Parse_error("open_tag({typed.tag})", ...)') from None
    except ValueError as error:
        raise MalformedCall(str(error)) from error


def _array(element: _Element) -> list[Any]:
    (data,) = element.children
    return [_value(child) for child in data.children]


def _members(element: _Element) -> dict[str, Any]:
    members = {}
    for member in element.children:
        parts = {child.tag: child for child in member.children}
        if set(parts) != {"name", "value"}:
            raise MalformedCall('Xmlrpc.Parse_error("member", ...)')
        members[parts["name"].text] = _value(parts["value"])
    return members


_TYPED: dict[str, Any] = {
    "string": lambda element: element.text,
    "int": lambda element: int(element.text),
    "i4": lambda element: int(element.text),
    "i8": lambda element: int(element.text),
    "boolean": lambda element: {"0": False, "1": True}[element.text.strip()],
    "double": lambda element: float(element.text),
    "dateTime.iso8601": lambda element: DateTime(element.text),
    "nil": lambda element: None,
    "array": _array,
    "struct": _members,
}
