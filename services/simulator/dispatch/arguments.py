"""Arguments as the data model wants them; a mismatch is reported in xapi's words."""

from typing import Any

from services.simulator.failure import internal_error, ocaml_failure
from services.simulator.model.schema import Class, Model
from services.simulator.model.types import Kind, Type
from services.simulator.wire.datetimes import DateTime

_MAX_INT = 2**63 - 1


class Arguments:
    """Turns decoded wire values into values of the data model's types."""

    def __init__(self, model: Model) -> None:
        self._model = model

    def read(self, type_: Type, value: Any) -> Any:
        """The value as ``type_``. Raises ``INTERNAL_ERROR`` in the words of xapi's unmarshaller."""
        match type_.kind:
            case Kind.STRING | Kind.REF:
                return _string(value)
            case Kind.ENUM:
                return self._enum(type_, value)
            case Kind.INT:
                return _int(value)
            case Kind.FLOAT:
                return _float(value)
            case Kind.BOOL:
                if not isinstance(value, bool):
                    raise _unexpected("bool", value)
                return value
            case Kind.DATETIME:
                return DateTime(_string(str(value) if isinstance(value, DateTime) else value))
            case Kind.SET:
                return self._set(type_, value)
            case Kind.MAP:
                return self._map(type_, value)
            case Kind.RECORD:
                return self._record(self._model.classes[type_.name], value)
        raise ocaml_failure(f"cannot read a {type_.kind.value}")

    def _enum(self, type_: Type, value: Any) -> str:
        text = _string(value).lower()
        for word in self._model.enums[type_.name]:
            if word.lower() == text:
                return word
        raise ocaml_failure("Unknown tag/contents")

    def _set(self, type_: Type, value: Any) -> list[Any]:
        if not isinstance(value, list) or type_.item is None:
            raise ocaml_failure(f"Expecting Rpc.Enum, but found '{shown(value)}'")
        return [self.read(type_.item, item) for item in value]

    def _map(self, type_: Type, value: Any) -> dict[Any, Any]:
        if not isinstance(value, dict) or type_.key is None or type_.item is None:
            raise ocaml_failure(f"Expecting Rpc.Dict, but found '{shown(value)}'")
        return {self.read(type_.key, key): self.read(type_.item, item) for key, item in value.items()}

    def _record(self, cls: Class, value: Any) -> dict[str, Any]:
        """The constructor's fields that were sent; unknown members are ignored, missing required ones
        refused.
        """
        if not isinstance(value, dict):
            raise ocaml_failure(f"Expecting Rpc.Dict, but found '{shown(value)}'")
        record = {}
        for name, field in cls.fields.items():
            if not field.constructed:
                continue
            if name in value:
                record[name] = self.read(field.type, value[name])
            elif field.required:
                raise internal_error(f'Server_helpers.Dispatcher_FieldNotFound("{name}")')
        return record


def shown(value: Any) -> str:
    """The value as OCaml's ``Rpc.to_string`` prints it."""
    match value:
        case None:
            return "N"
        case bool():
            return f"B({str(value).lower()})"
        case int():
            return f"I({value})"
        case float():
            return f"F({value:g})"
        case DateTime():
            return f"D({value})"
        case str():
            return f"S({value})"
        case list():
            return f"[{','.join(map(shown, value))}]"
        case dict():
            return "{" + ",".join(f"{name}:{shown(item)}" for name, item in value.items()) + "}"
    raise TypeError(f"no wire value is a {type(value).__name__}")


def _unexpected(expected: str, value: Any) -> Exception:
    return ocaml_failure(f"Expected {expected}, got '{shown(value)}'")


def _string(value: Any) -> str:
    if not isinstance(value, str) or isinstance(value, DateTime):
        raise _unexpected("string", value)
    return value


def _int(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if not isinstance(value, str):
        raise _unexpected("int64", value)
    try:
        number = int(value, 0) if value == value.strip() else None
    except ValueError:
        number = int(value) if value.isdecimal() else None
    if number is None or abs(number) > _MAX_INT:
        raise ocaml_failure("Int64.of_string")
    return number


def _float(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise _unexpected("float", value)
    try:
        return float(value)
    except ValueError:
        raise ocaml_failure("float_of_string") from None
