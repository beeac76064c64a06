"""Disks: bytes that can be read and written."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from services.mover.domain import BlockRead, Extent, Notice

Data = bytes | bytearray | memoryview
"""Bytes of a disk, however they are held."""


class BlockSource(Protocol):
    """A disk that can be read.

    Offsets and lengths are multiples of 512 bytes, except that a read may end where the disk ends. A read
    outside the disk, empty, or out of line is refused with ``InvalidInput`` before anything is asked of the
    disk.

    Either every byte of a buffer is the disk's, or the call raises: ``Unavailable`` when the disk could not
    be reached within the source's patience, ``DataLoss`` when it was reached and could not give these bytes,
    ``Cancelled`` after ``close``. What a failed read leaves in its buffer is undefined.

    All methods may be called from several threads at a time.
    """

    @property
    def size_bytes(self) -> int:
        """The size of the disk."""
        ...

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill the buffer from the disk."""
        ...

    def read_many(self, reads: Iterable[BlockRead]) -> Iterator[BlockRead]:
        """Do all reads, several at a time, and yield each when it is done, in any order.

        The next read is drawn when there is room for it; drawing must not wait for a read drawn before.
        Several threads share work by drawing from one iterator that allows it (a list's does, a generator
        does not). An abandoned iteration leaves the source usable.
        """
        ...

    def notices(self) -> tuple[Notice, ...]:
        """What did not go as planned so far: retries, lost hosts, fewer connections."""
        ...

    def close(self) -> None:
        """Give the disk back. Reads in progress end with ``Cancelled``. Repeating it does nothing."""
        ...


class BlockTarget(Protocol):
    """A disk that can be written, in passes.

    A pass begins with all extents it will write, is fed exactly those bytes in any order, and is on the disk
    when ``finish`` returns. Before that nothing is certain: a pass that raised is begun again (with the same
    extents, or with those a caller knows are not there). Bytes of the disk that no extent covers are left
    alone.
    """

    def begin(self, extents: Sequence[Extent]) -> None:
        """Start a pass; one in progress is abandoned. ``InvalidInput`` when the extents cannot be written."""
        ...

    def write(self, offset: int, data: Data) -> None:
        """Write a piece of the pass. Pieces may come from several threads.

        ``Unavailable`` when the pass was cut, ``FailedPrecondition`` when the disk's host could not write;
        every later call but ``begin`` and ``abort`` fails likewise. ``InvalidInput`` for what was not
        announced.

        A piece begins and ends on a frame boundary: a multiple of ``frame_bytes`` or an end of its extent.
        """
        ...

    @property
    def frame_bytes(self) -> int:
        """The grid that pieces are cut on."""
        ...

    def finish(self) -> None:
        """End the pass: wait until it is written. ``InvalidInput`` when pieces are missing."""
        ...

    def abort(self) -> None:
        """Stop for good. A call in progress and every later one but this ends with ``Cancelled``."""
        ...

    def notices(self) -> tuple[Notice, ...]:
        """What did not go as planned so far."""
        ...
