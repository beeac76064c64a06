"""Where a stream is cut: by its content, so that an insertion moves no cut but those beside it.

docs/repository-format.md, section 7, "Cutting streams".
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from services.mover.repository.types import Bytes

_WINDOW: Final = 16
_STEP: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class CutSizes:
    """Lengths of pieces in bytes. ``normal`` is a power of two, ``least`` at least the window's 16."""

    least: int = 256 << 10
    normal: int = 1 << 20
    most: int = 4 << 20

    @property
    def rare(self) -> int:
        """Mark below which a piece shorter than ``normal`` is cut: one position in four times ``normal``."""
        return 2**32 // (4 * self.normal)

    @property
    def frequent(self) -> int:
        """Mark below which a longer piece is cut: four positions in ``normal``."""
        return 2**32 * 4 // self.normal


class Cutter:
    """One stream: ``feed`` it, then take the ``rest``. Not to be shared by threads at once.

    The mark of a position is AES of the 16 bytes before it, so lengths of pieces tell nothing of the content
    to whoever does not have the key. Holds less than the longest piece, a step, and what it is fed.
    """

    def __init__(self, key: bytes, sizes: CutSizes | None = None) -> None:
        self._aes = Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # noqa: S305 - a PRF of one block
        self._sizes = sizes or CutSizes()
        self._held = bytearray()
        self._seen = self._sizes.least
        self._marks = bytearray()

    def feed(self, data: Bytes) -> Iterator[bytes]:
        """The pieces that are complete with ``data``."""
        self._held += data
        while len(self._held) - self._seen >= _STEP or len(self._held) >= self._sizes.most:
            yield from self._step()

    def rest(self) -> Iterator[bytes]:
        """The last pieces."""
        while len(self._held) > self._seen:
            yield from self._step()
        if self._held:
            yield self._take(len(self._held))

    def _step(self) -> Iterator[bytes]:
        """Look at some more positions of the piece that is held; it ends at the first fit one."""
        end = min(len(self._held), self._seen + _STEP, self._sizes.most)
        for position, mark in self._low_marks(self._seen, end):
            if mark < (self._sizes.rare if position < self._sizes.normal else self._sizes.frequent):
                yield self._take(position)
                return
        self._seen = end + 1
        if end == self._sizes.most:
            yield self._take(end)

    def _take(self, length: int) -> bytes:
        piece = bytes(memoryview(self._held)[:length])
        del self._held[:length]
        self._seen = self._sizes.least
        return piece

    def _low_marks(self, first: int, last: int) -> list[tuple[int, int]]:
        """Positions from ``first`` to ``last`` whose mark is low enough to matter, ascending.

        All windows at one distance modulo 16 are one encryption: sixteen passes in C instead of a loop.
        """
        if len(self._marks) < last - first + 2 * _WINDOW:
            self._marks = bytearray(max(_STEP, last - first) + 2 * _WINDOW)
        low: list[tuple[int, int]] = []
        frequent = self._sizes.frequent
        with memoryview(self._held) as held:
            for start in range(first - _WINDOW, min(first, last - _WINDOW + 1)):
                length = (last - start) // _WINDOW * _WINDOW
                self._aes.update_into(held[start : start + length], self._marks)
                heads = self._marks[:length:_WINDOW]
                at = heads.find(0)
                while at >= 0:
                    mark = int.from_bytes(self._marks[at * _WINDOW : at * _WINDOW + 4], "big")
                    if mark < frequent:
                        low.append((start + (at + 1) * _WINDOW, mark))
                    at = heads.find(0, at + 1)
        return sorted(low)
