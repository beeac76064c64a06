"""Text for a descriptor that may be a pipe nobody reads: whoever writes is not stopped by that."""

import os
import select
import threading
from collections.abc import Callable
from typing import Final

PATIENCE_S: Final = 0.2
"""A reader that lives takes what a pipe holds in less."""


class UnblockedText:
    """A stream of lines. One that cannot be written is left out, and how many were is the next line.

    Nobody is waited for longer than ``PATIENCE_S``, and not again until there is room. A descriptor that
    refuses (nobody has the other end, its disk is full) is treated as one that is full. Safe from any thread.
    """

    def __init__(self, descriptor: int, lost: Callable[[int], str]) -> None:
        """``lost`` makes the line that tells how many were left out."""
        self._descriptor = descriptor
        self._lost_line = lost
        self._lock = threading.Lock()
        self._begun = threading.local()
        self._lost = 0
        self._rest = b""
        """Of a line that was begun: goes before the next one."""

    def write(self, text: str) -> int:
        """What ends in a newline is written; what does not waits for the rest of its line."""
        whole, newline, begun = (getattr(self._begun, "line", "") + text).rpartition("\n")
        self._begun.line = begun
        if newline:
            with self._lock:
                self._put_line(f"{whole}\n")
        return len(text)

    def flush(self) -> None:
        """Nothing is kept back but a line that was begun."""

    def _put_line(self, line: str) -> None:
        patience = 0.0 if self._lost or self._rest else PATIENCE_S
        self._rest = self._rest[self._put(self._rest, 0.0) :]
        written = 0
        if not self._rest:
            told = f"{self._lost_line(self._lost)}\n" if self._lost else ""
            data = (told + line).encode(errors="backslashreplace")
            written = self._put(data, patience)
        if written:
            self._lost, self._rest = 0, data[written:]
        else:
            self._lost += 1

    def _put(self, data: bytes, patience_s: float) -> int:
        """How many bytes are written."""
        written = 0
        while written < len(data) and self._has_room(patience_s):
            try:
                written += os.write(self._descriptor, data[written : written + select.PIPE_BUF])
            except OSError:
                break
        return written

    def _has_room(self, patience_s: float) -> bool:
        """For ``PIPE_BUF`` bytes: a pipe that is ready takes as many without waiting (pipe(7))."""
        looking = select.poll()
        looking.register(self._descriptor, select.POLLOUT)
        return bool(looking.poll(patience_s * 1000))
