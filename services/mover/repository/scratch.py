"""Memory that is used for one blob after the other, so that none is allocated and zeroed for each."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from mmap import PAGESIZE, mmap
from typing import Final

_own = threading.local()


def scratch(use: str, length: int) -> memoryview:
    """``length`` bytes of the calling thread's own memory for this ``use``, beginning at a page.

    They hold whatever they held before, and stay valid until the same thread asks for the same use again.
    The memory goes with the thread.
    """
    buffers: dict[str, mmap] = _own.__dict__.setdefault("buffers", {})
    buffer = buffers.get(use)
    if buffer is None or len(buffer) < length:
        buffer = buffers[use] = mmap(-1, max(PAGESIZE, length))
    return memoryview(buffer)[:length]


class Loans:
    """Large pieces of memory, each beginning at a page, lent and taken back. From any thread."""

    def __init__(self, length: int, spare: int) -> None:
        """Pieces of ``length`` bytes; at most ``spare`` are kept while nobody has them."""
        self._length: Final = length
        self._most = spare
        self._lock = threading.Lock()
        self._spare: list[mmap] = []

    @contextmanager
    def lend(self, length: int) -> Iterator[memoryview]:
        """``length`` bytes that hold whatever they held before; they are somebody else's after the block.

        After an exception they are nobody's: what it interrupted, in another thread, may still look at them.
        """
        with self._lock:
            buffer = self._spare.pop() if self._spare and length <= self._length else None
        if buffer is None:
            buffer = mmap(-1, max(self._length, length))
        yield memoryview(buffer)[:length]
        with self._lock:
            if len(self._spare) < self._most and len(buffer) == self._length:
                self._spare.append(buffer)
