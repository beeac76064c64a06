"""The mover's nouns: what is read, what is written, what has to be told."""

from dataclasses import dataclass
from typing import NamedTuple


class Extent(NamedTuple):
    """A run of bytes on a disk."""

    offset: int
    length: int

    @property
    def end(self) -> int:
        """The first byte after it."""
        return self.offset + self.length


@dataclass(eq=False, slots=True)
class BlockRead:
    """One read to be done: fill ``buffer`` with the disk's bytes from ``offset`` on.

    Compared by identity, so a caller recognises its own.
    """

    offset: int
    buffer: memoryview

    @property
    def extent(self) -> Extent:
        """What it covers."""
        return Extent(self.offset, len(self.buffer))


@dataclass(frozen=True, slots=True)
class Notice:
    """Something a transfer did otherwise than planned; the transfer reports it, it is not an error.

    ``code`` is UPPER_SNAKE and stable, ``text`` one sentence without secrets, ``count`` how often it
    happened.
    """

    code: str
    text: str
    count: int = 1
