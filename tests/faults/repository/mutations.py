"""Hostile variants of bytes and of JSON, from a seed, so that what was found can be found again."""

import random
from collections.abc import Callable
from typing import Any

_NUMBERS = (-1, 0, 1, 7, 255, 2**16, 2**31, 2**32, 2**53, 2**63 - 1, 2**63, 2**64, 10**40)
_TEXTS = ("", "x", "\ud800", "\x00", "../../etc/passwd", "a" * 5000, "ff" * 32, "zz", "2026", "²", "-1")


def mutated(data: bytes, dice: random.Random) -> bytes:
    """A few bytes changed, runs doubled, moved or cut out, numbers made extreme, ends cut or added."""
    out = bytearray(data)
    for _ in range(dice.randint(1, 3)):
        at = dice.randrange(len(out) + 1)
        length = min(dice.choice((1, 1, 2, 4, 8, 32)), len(out) - at)
        dice.choice(_WAYS)(out, at, length, dice)
    return bytes(out)


def _flip(out: bytearray, at: int, length: int, dice: random.Random) -> None:
    if length:
        out[at] ^= 1 << dice.randrange(8)


def _random(out: bytearray, at: int, length: int, dice: random.Random) -> None:
    out[at : at + length] = dice.randbytes(length)


def _extreme(out: bytearray, at: int, length: int, dice: random.Random) -> None:
    out[at : at + length] = dice.choice((b"\0", b"\xff", b"\x7f", b"\x80")) * length


def _cut(out: bytearray, at: int, length: int, dice: random.Random) -> None:
    del out[at:]


def _remove(out: bytearray, at: int, length: int, dice: random.Random) -> None:
    del out[at : at + length]


def _repeat(out: bytearray, at: int, length: int, dice: random.Random) -> None:
    out[at:at] = out[at : at + length] * dice.choice((1, 2, 100))


def _append(out: bytearray, at: int, length: int, dice: random.Random) -> None:
    out += dice.randbytes(length)


_WAYS: tuple[Callable[[bytearray, int, int, random.Random], None], ...] = (
    _flip,
    _random,
    _extreme,
    _cut,
    _remove,
    _repeat,
    _append,
)


def mutated_json(value: Any, dice: random.Random) -> Any:
    """The same document with one or two values replaced, removed or added somewhere."""
    for _ in range(dice.randint(1, 2)):
        value = _changed(value, dice)
    return value


def any_json(dice: random.Random, depth: int = 2) -> Any:
    """Some document, likely to be none of those expected."""
    kind = dice.randrange(9 if depth else 6)
    if kind < 6:
        return dice.choice((None, True, 1.5, float("nan"), dice.choice(_NUMBERS), dice.choice(_TEXTS)))
    if kind == 6:
        return [any_json(dice, depth - 1) for _ in range(dice.randrange(4))]
    if kind == 7:
        return {dice.choice(_TEXTS): any_json(dice, depth - 1) for _ in range(dice.randrange(4))}
    return _nested(dice.choice((50, 900)))


def _nested(depth: int) -> Any:
    value: Any = 0
    for _ in range(depth):
        value = [value]
    return value


def _changed(value: Any, dice: random.Random) -> Any:
    if isinstance(value, dict) and value and dice.random() < 0.8:
        key = dice.choice(sorted(value))
        changed = dict(value)
        if dice.random() < 0.1:
            del changed[key]
        elif dice.random() < 0.1:
            changed[dice.choice(_TEXTS)] = value[key]
        else:
            changed[key] = _changed(value[key], dice)
        return changed
    if isinstance(value, list) and value and dice.random() < 0.8:
        at = dice.randrange(len(value))
        return [*value[:at], _changed(value[at], dice), *value[at + dice.randrange(2) :]]
    if isinstance(value, str) and value and dice.random() < 0.4:
        return mutated(value.encode(errors="replace"), dice).decode("latin-1")
    return any_json(dice)
