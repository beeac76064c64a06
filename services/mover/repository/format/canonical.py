"""Canonical JSON: one value, one spelling, so that it can be authenticated."""

import json
from math import isfinite
from typing import Any, Final, TypeVar

from services.mover.repository.format.damaged import damaged

T = TypeVar("T")
_CLEAR_LEVELS: Final = 8
_HEX: Final = frozenset("0123456789abcdef")


def encode(value: Any) -> bytes:
    """UTF-8 with sorted keys, no white space and escaped non-ASCII; refuses NaN and infinities."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    ).encode()


def decode_object(data: bytes, what: str) -> dict[str, Any]:
    """The JSON object in ``data``; raises DataLoss naming ``what`` when there is none."""
    try:
        value = json.loads(data.decode(), parse_constant=_refuse, parse_float=_finite)
    except (ValueError, RecursionError):
        raise damaged(what, "it is not JSON") from None
    if not isinstance(value, dict):
        raise damaged(what, "it is not a JSON object")
    return value


def decode_clear(data: bytes, what: str) -> dict[str, Any]:
    """The object in what no seal protects: canonical, and of the few levels that key slots and headers have.

    Raises DataLoss naming ``what`` otherwise.
    """
    value = decode_object(data, what)
    if _is_deeper(value, _CLEAR_LEVELS) or encode(value) != data:
        raise damaged(what, "it is not canonical JSON")
    return value


def _refuse(constant: str) -> None:
    raise ValueError(constant)  # NaN and infinities, which json takes although JSON has none


def _finite(text: str) -> float:
    value = float(text)
    if not isfinite(value):
        raise ValueError(text)
    return value


def _is_deeper(value: object, levels: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels < 0 or any(_is_deeper(item, levels - 1) for item in inner)


class Fields:
    """Typed access to a decoded JSON object; a missing or ill-typed field is damage of ``what``."""

    def __init__(self, value: dict[str, Any], what: str) -> None:
        self._value = value
        self._what = what

    def text(self, key: str) -> str:
        return self._typed(key, str)

    def number(self, key: str, low: int = 0, high: int = 2**63 - 1) -> int:
        value = self._typed(key, int)
        if isinstance(value, bool) or not low <= value <= high:
            raise damaged(self._what, f"{key!r} is out of range")
        return value

    def raw(self, key: str, length: int) -> bytes:
        """Bytes from a hexadecimal field, in lower case, of exactly ``length`` bytes."""
        text = self.text(key)
        if not set(text) <= _HEX:
            raise damaged(self._what, f"{key!r} is not hexadecimal")
        try:
            value = bytes.fromhex(text)
        except ValueError:
            raise damaged(self._what, f"{key!r} is half a byte too long") from None
        if len(value) != length:
            raise damaged(self._what, f"{key!r} has {len(value)} bytes instead of {length}")
        return value

    def optional_raw(self, key: str, length: int) -> bytes | None:
        return None if self._value.get(key) is None else self.raw(key, length)

    def optional_text(self, key: str) -> str | None:
        return None if self._value.get(key) is None else self.text(key)

    def inner(self, key: str) -> "Fields":
        return Fields(self._typed(key, dict), f"{self._what} {key}")

    def inners(self, key: str) -> list["Fields"]:
        return [Fields(item, f"{self._what} {key}") for item in self._list(key, dict)]

    def texts(self, key: str) -> list[str]:
        return self._list(key, str)

    def mapping(self, key: str) -> dict[str, Any]:
        return self._typed(key, dict)

    def numbers(self, key: str) -> dict[str, int]:
        return {
            str(name): Fields({name: n}, self._what).number(name) for name, n in self.mapping(key).items()
        }

    def strings(self, key: str) -> dict[str, str]:
        return {str(name): Fields({name: s}, self._what).text(name) for name, s in self.mapping(key).items()}

    def value(self, key: str) -> Any:
        if key not in self._value:
            raise damaged(self._what, f"{key!r} is missing")
        return self._value[key]

    def _typed(self, key: str, kind: type[T]) -> T:
        value = self.value(key)
        if not isinstance(value, kind):
            raise damaged(self._what, f"{key!r} is not a {kind.__name__}")
        return value

    def _list(self, key: str, kind: type[T]) -> list[T]:
        items = self._typed(key, list)
        if not all(isinstance(item, kind) for item in items):
            raise damaged(self._what, f"{key!r} has an item that is not a {kind.__name__}")
        return items
