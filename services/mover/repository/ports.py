"""What the engine needs from whoever uses it, besides a store."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


class Time(Protocol):
    """The clock; ``services.chassis.clock`` has one."""

    def now(self) -> datetime:
        """The wall clock, aware. Only ever recorded, never compared: clocks of movers differ."""
        ...

    def monotonic(self) -> float:
        """Seconds since some fixed moment; never goes back."""
        ...


class BlockSource(Protocol):
    """A disk to back up, unchanging while it is read."""

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill ``buffer`` with the disk's bytes from ``offset``; all of it, or raise.

        Called by several threads at once; never beyond the disk's size.
        """
        ...


class BlockTarget(Protocol):
    """A disk being restored. What is never written must read as zeros."""

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Write all of ``data`` at ``offset`` or raise; ``data`` is not kept after the return."""
        ...


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one disk is, in bytes. ``total`` and ``read`` count the source, ``stored`` sealed bytes."""

    total: int
    read: int
    resumed: int
    stored: int


class ProgressListener(Protocol):
    """Hears of progress from worker threads, often; it must return quickly."""

    def __call__(self, progress: Progress, /) -> None: ...


def nobody(*_: object) -> None:
    """The listener where nobody wants to know."""
