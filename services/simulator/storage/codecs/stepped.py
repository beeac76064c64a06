"""Parsing a stream that comes in pieces of any size."""

from __future__ import annotations

from collections.abc import Generator

from services.simulator.storage.errors import BadImage, OutOfRange

Steps = Generator[int, bytes, None]  # yields how many bytes it needs next, and is sent exactly these

PIECE = 2 * 1024 * 1024  # no step should ask for more


def skip(count: int) -> Steps:
    """Take bytes that nobody needs."""
    while count:
        count -= len((yield min(count, PIECE)))


class SteppedImport:
    """Fulfils `ports.DiskImport` with a generator that asks for what it needs and knows the end."""

    def __init__(self, what: str, steps: Steps) -> None:
        self._what = what
        self._steps = steps
        self._buffer = bytearray()
        self._wanted = next(steps)
        self._complete = False

    @property
    def complete(self) -> bool:
        """True when the stream has told its end."""
        return self._complete

    def feed(self, piece: bytes | bytearray | memoryview) -> None:
        """Take the next bytes; those after the end of the stream are ignored."""
        if self._complete:
            return
        self._buffer += piece
        while not self._complete and len(self._buffer) >= self._wanted:
            data = bytes(memoryview(self._buffer)[: self._wanted])
            del self._buffer[: self._wanted]
            try:
                self._wanted = self._steps.send(data)
            except StopIteration:
                self._complete = True
                self._buffer.clear()
            except OutOfRange as error:
                raise BadImage(f"the {self._what} does not fit the disk: {error}") from error

    def finish(self) -> None:
        """The stream has ended; BadImage when it should have gone on."""
        if not self._complete:
            raise BadImage(f"the {self._what} ended where {self._wanted} more bytes were due")
