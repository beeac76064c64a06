"""A disk in memory: both a ``BlockSource`` and a ``BlockTarget``, for tests and for tiny disks."""

import threading
from collections.abc import Iterable, Iterator, Sequence

from services.chassis.errors import Cancelled, FailedPrecondition
from services.mover.block_ranges import check_read
from services.mover.domain import BlockRead, Extent, Notice
from services.mover.frame_plan import PAGE_BYTES, FramePlan
from services.mover.ports import Data


class MemoryDisk:
    """Holds to the law of both ports; ``content`` may be looked at."""

    def __init__(self, content: bytes, *, frame_bytes: int = 256 * PAGE_BYTES) -> None:
        self.content = bytearray(content)
        self._frame_bytes = frame_bytes
        self._plan: FramePlan | None = None
        self._closed = False
        self._aborted = False
        self._lock = threading.Lock()

    @property
    def size_bytes(self) -> int:
        """See ``BlockSource``."""
        return len(self.content)

    @property
    def frame_bytes(self) -> int:
        """See ``BlockTarget``."""
        return self._frame_bytes

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """See ``BlockSource``."""
        check_read(BlockRead(offset, buffer), self.size_bytes)
        if self._closed:
            raise Cancelled("The disk was closed while it was being read.", reason="SOURCE_CLOSED")
        buffer[:] = self.content[offset : offset + len(buffer)]

    def read_many(self, reads: Iterable[BlockRead]) -> Iterator[BlockRead]:
        """See ``BlockSource``."""
        for read in reads:
            self.read_into(read.offset, read.buffer)
            yield read

    def begin(self, extents: Sequence[Extent]) -> None:
        """See ``BlockTarget``."""
        self._must_go_on()
        self._plan = FramePlan(extents, self._frame_bytes, self.size_bytes)

    def write(self, offset: int, data: Data) -> None:
        """See ``BlockTarget``."""
        with self._lock:
            for _ in self._pass().take(Extent(offset, len(data))):
                pass
            self.content[offset : offset + len(data)] = data

    def finish(self) -> None:
        """See ``BlockTarget``."""
        self._pass().must_be_complete()
        self._plan = None

    def abort(self) -> None:
        """See ``BlockTarget``."""
        self._aborted = True

    def notices(self) -> tuple[Notice, ...]:
        """Nothing ever goes otherwise than planned here."""
        return ()

    def close(self) -> None:
        """See ``BlockSource``."""
        self._closed = True

    def _must_go_on(self) -> None:
        if self._aborted:
            raise Cancelled("Writing the disk was called off.", reason="TARGET_ABORTED")

    def _pass(self) -> FramePlan:
        self._must_go_on()
        if self._plan is None:
            raise FailedPrecondition(
                "No pass over the disk has begun.", reason="PASS_NOT_BEGUN", hint="Begin one first."
            )
        return self._plan
