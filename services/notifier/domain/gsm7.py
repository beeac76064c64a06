"""Text messages as segments: the GSM 7-bit default alphabet, or UCS-2 when it cannot say it.

Source: 3GPP TS 23.038 section 6.2.1 (alphabet and extension table), TS 23.040 section 9.2.3.24.1 (the
concatenation header: 6 bytes, which leaves 153 septets or 67 UTF-16 units of a 140-byte message).
"""

from collections.abc import Sequence
from dataclasses import dataclass

_BASIC = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENSION = {
    "^": 0x14,
    "{": 0x28,
    "}": 0x29,
    "\\": 0x2F,
    "[": 0x3C,
    "~": 0x3D,
    "]": 0x3E,
    "|": 0x40,
    "€": 0x65,
}
_ESCAPE = 0x1B
_SEPTETS = {c: bytes([i]) for i, c in enumerate(_BASIC) if i != _ESCAPE} | {
    c: bytes([_ESCAPE, code]) for c, code in _EXTENSION.items()
}

GSM7_ALONE, GSM7_PART = 160, 153
UCS2_ALONE, UCS2_PART = 140, 134
MAX_SEGMENTS = 255


@dataclass(frozen=True, slots=True)
class Segments:
    """The bodies of one message's segments, unpacked (one septet per byte for GSM-7, UTF-16BE for UCS-2)."""

    gsm7: bool
    bodies: tuple[bytes, ...]


def segments(text: str) -> Segments:
    """Cut `text` into as few segments as its alphabet allows; no character is cut in two.

    Raises ValueError when it needs more than 255 segments.
    """
    characters = _septets(text)
    gsm7 = characters is not None
    if characters is None:
        characters = [c.encode("utf-16-be", "replace") for c in text]
    alone, part = (GSM7_ALONE, GSM7_PART) if gsm7 else (UCS2_ALONE, UCS2_PART)
    if sum(map(len, characters)) <= alone:
        return Segments(gsm7, (b"".join(characters),))
    bodies = _packed(characters, part)
    if len(bodies) > MAX_SEGMENTS:
        raise ValueError(
            f"a text of {len(text)} characters needs {len(bodies)} segments; {MAX_SEGMENTS} is the limit"
        )
    return Segments(gsm7, bodies)


def _septets(text: str) -> list[bytes] | None:
    try:
        return [_SEPTETS[c] for c in text]
    except KeyError:
        return None


def _packed(characters: Sequence[bytes], size: int) -> tuple[bytes, ...]:
    bodies = [b""]
    for character in characters:
        if len(bodies[-1]) + len(character) > size:
            bodies.append(b"")
        bodies[-1] += character
    return tuple(bodies)
