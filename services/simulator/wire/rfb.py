"""A screen for one viewer by the RFB protocol, versions 3.3 to 3.8, without a password (RFC 6143)."""

import struct
from dataclasses import dataclass
from typing import Protocol

WIDTH, HEIGHT = 720, 400
"""Pixels: a PC's text screen."""
_VERSION = b"RFB 003.008\n"
_NO_AUTHENTICATION = 1
_SET_PIXEL_FORMAT, _SET_ENCODINGS, _UPDATE_REQUEST, _KEY, _POINTER, _CUT_TEXT, _QEMU = 0, 2, 3, 4, 5, 6, 255
_REST = {_KEY: 7, _POINTER: 5, _QEMU: 11}
"""Bytes after the type of messages that change nothing here."""
_CUT_TEXT_LIMIT = 1024 * 1024


class Pipe(Protocol):
    """A connection to somebody who is shown something."""

    async def read(self, count: int) -> bytes:
        """Exactly so many bytes. Raises ``EOFError`` at the end."""

    async def write(self, data: bytes) -> None:
        """Raises ``ConnectionError`` when nobody is there any more."""


@dataclass(frozen=True)
class PixelFormat:
    """How a viewer wants its pixels; ``maxima`` and ``shifts`` are of red, green and blue."""

    bits: int
    depth: int
    big_endian: bool
    true_colour: bool
    maxima: tuple[int, int, int]
    shifts: tuple[int, int, int]

    _LAYOUT = struct.Struct(">BBBBHHHBBB3x")

    @classmethod
    def read(cls, data: bytes) -> "PixelFormat":
        """Raises ``ValueError`` for pixels that are no whole bytes."""
        bits, depth, big_endian, true_colour, *rest = cls._LAYOUT.unpack(data)
        if bits not in (8, 16, 32):
            raise ValueError(f"pixels of {bits} bits are not possible; 8, 16 and 32 are")
        red, green, blue, *shifts = rest
        return cls(bits, depth, bool(big_endian), bool(true_colour), (red, green, blue), (*shifts,))

    def to_bytes(self) -> bytes:
        return self._LAYOUT.pack(
            self.bits, self.depth, self.big_endian, self.true_colour, *self.maxima, *self.shifts
        )

    def grey(self, shade: int) -> bytes:
        """A pixel of that ``shade``, 0 to 255."""
        value = shade
        if self.true_colour:
            parts = zip(self.maxima, self.shifts, strict=True)
            value = sum(shade * most // 255 << shift for most, shift in parts)
        value &= (1 << self.bits) - 1
        return value.to_bytes(self.bits // 8, "big" if self.big_endian else "little")


_NATIVE = PixelFormat(32, 24, False, True, (255, 255, 255), (16, 8, 0))


async def show(pipe: Pipe, name: str, shade: int) -> None:
    """A grey screen, until the viewer leaves or says what nobody understands.

    Raises ``EOFError`` or ``ConnectionError`` when the connection ends in the middle of a message.
    """
    if not await _agree(pipe):
        return
    title = name.encode()
    size = struct.pack(">HH", WIDTH, HEIGHT)
    await pipe.write(size + _NATIVE.to_bytes() + struct.pack(">I", len(title)) + title)
    wanted = _NATIVE
    while True:
        kind = (await pipe.read(1))[0]
        if kind == _SET_PIXEL_FORMAT:
            try:
                wanted = PixelFormat.read((await pipe.read(19))[3:])
            except ValueError:
                return
        elif kind == _SET_ENCODINGS:
            (count,) = struct.unpack(">xH", await pipe.read(3))
            await pipe.read(4 * count)
        elif kind == _UPDATE_REQUEST:
            incremental, *area = struct.unpack(">BHHHH", await pipe.read(9))
            if not incremental:
                await pipe.write(_update(area, wanted.grey(shade)))
        elif kind == _CUT_TEXT:
            (length,) = struct.unpack(">3xI", await pipe.read(7))
            if length > _CUT_TEXT_LIMIT:
                return
            await pipe.read(length)
        elif kind in _REST:
            await pipe.read(_REST[kind])
        else:
            return


async def _agree(pipe: Pipe) -> bool:
    """On a version, and that there is no password; whether the viewer goes along."""
    await pipe.write(_VERSION)
    answer = await pipe.read(len(_VERSION))
    if not answer.startswith(b"RFB 003.") or not answer[8:11].isdigit():
        return False
    minor = int(answer[8:11])
    if minor < 7:
        await pipe.write(struct.pack(">I", _NO_AUTHENTICATION))
    else:
        await pipe.write(bytes([1, _NO_AUTHENTICATION]))
        if (await pipe.read(1))[0] != _NO_AUTHENTICATION:
            return False
        if minor >= 8:
            await pipe.write(struct.pack(">I", 0))
    await pipe.read(1)
    return True


def _update(area: list[int], pixel: bytes) -> bytes:
    """One rectangle as it is, of the part of the area that is on the screen."""
    x, y = min(area[0], WIDTH), min(area[1], HEIGHT)
    width, height = min(area[2], WIDTH - x), min(area[3], HEIGHT - y)
    head = struct.pack(">BxHHHHHi", 0, 1, x, y, width, height, 0)
    return head + pixel * (width * height)
