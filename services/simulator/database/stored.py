"""Values as the database stores them: text, with sets and maps as s-expressions (xapi: ocaml/libs/sexpr)."""

from collections.abc import Iterator
from typing import Any

from services.simulator.model.schema import Class
from services.simulator.model.types import Kind, Type
from services.simulator.wire.datetimes import DateTime

_NAMESPACES = ("name", "memory", "VCPUs", "PV", "HVM", "actions", "qos", "API_version")
Expression = str | list["Expression"]


def database_name(field: str) -> str:
    """A field's name in the database: ``name__label`` for ``name_label``."""
    for namespace in _NAMESPACES:
        if field.startswith(f"{namespace}_"):
            return f"{namespace}__{field.removeprefix(f'{namespace}_')}"
    return field


def stored_text(value: Any) -> str:
    """A value as text."""
    match value:
        case bool():
            return str(value).lower()
        case list():
            return f"({' '.join(_quoted(item) for item in value)})"
        case dict():
            return f"({' '.join(f'({_quoted(key)} {_quoted(item)})' for key, item in value.items())})"
        case None:
            return ""
    return str(value)


def parse_stored(type_: Type, text: str) -> Any:
    """The value of ``stored_text``. Raises ``ValueError`` for text of another form."""
    match type_.kind:
        case Kind.INT:
            return int(text)
        case Kind.FLOAT:
            return float(text)
        case Kind.BOOL:
            return text == "true"
        case Kind.DATETIME:
            return DateTime(text)
        case Kind.SET if type_.item is not None:
            return [parse_stored(type_.item, str(item)) for item in _parse(text)]
        case Kind.MAP if type_.item is not None and type_.key is not None:
            pairs = (pair for pair in _parse(text) if isinstance(pair, list))
            return {parse_stored(type_.key, str(k)): parse_stored(type_.item, str(v)) for k, v in pairs}
    return text


def dump_fields(values: dict[str, Any]) -> str:
    """Fields as one text, the form of ``VM.snapshot_metadata``."""
    pairs = (f"({_quoted(database_name(name))} {_quoted(value)})" for name, value in values.items())
    return f"({' '.join(pairs)})"


def load_fields(cls: Class, text: str) -> dict[str, Any]:
    """The fields of ``dump_fields`` that the class knows. Raises ``ValueError``."""
    names = {database_name(name): name for name in cls.fields}
    pairs = [pair for pair in _parse(text) if isinstance(pair, list) and len(pair) == 2]
    known = [(names[str(name)], str(value)) for name, value in pairs if str(name) in names]
    return {name: parse_stored(cls.fields[name].type, value) for name, value in known}


def _quoted(value: Any) -> str:
    text = stored_text(value).replace("\\", "\\\\").replace("'", "\\'")
    return f"'{text}'"


def _parse(text: str) -> list[Expression]:
    expression = _read(_tokens(text))
    if not isinstance(expression, list):
        raise ValueError("expected a list")
    return expression


def _read(tokens: Iterator[tuple[str, str]]) -> Expression:
    """One expression; ``ValueError`` when the text ends too early."""
    stack: list[list[Expression]] = [[]]
    for kind, text in tokens:
        if kind == "(":
            stack.append([])
        elif kind == ")":
            done = stack.pop()
            if not stack:
                break
            stack[-1].append(done)
        else:
            stack[-1].append(text)
        if len(stack) == 1:
            return stack[0][0]
    raise ValueError("an s-expression ends too early")


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    position = 0
    while position < len(text):
        char = text[position]
        position += 1
        if char in "()":
            yield char, char
        elif char == "'":
            word: list[str] = []
            while position < len(text) and text[position] != "'":
                position += text[position] == "\\"
                word.append(text[position : position + 1])
                position += 1
            position += 1
            yield "word", "".join(word)
