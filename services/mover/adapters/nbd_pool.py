"""One disk, read over several connections and hosts, that outlives the loss of any of them."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from services.chassis.errors import XenkeepError
from services.mover.adapters.nbd_endpoint import NbdEndpoint
from services.mover.adapters.nbd_redo import Redo
from services.mover.adapters.nbd_sharing import NbdSharing
from services.mover.adapters.nbd_supply import NbdPoolOptions, NbdSupply, Refresh
from services.mover.block_ranges import check_read, cut
from services.mover.domain import BlockRead, Extent, Notice
from services.mover.notice_book import NoticeBook


class NbdPool:
    """``BlockSource`` over NBD.

    Connections are made when reads need them. A connection that fails is dropped with a notice, its
    outstanding reads are done again over another; when no endpoint is left, ``refresh`` is asked where the
    disk is now, until it can be read again or the patience has passed. Nothing is kept on disk: a mover that
    is killed leaves only connections behind, which the hosts clean up.
    """

    def __init__(
        self,
        size_bytes: int,
        endpoints: Sequence[NbdEndpoint],
        refresh: Refresh,
        options: NbdPoolOptions | None = None,
        notices: NoticeBook | None = None,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sharing: NbdSharing | None = None,
    ) -> None:
        """``size_bytes`` is the disk's size as its owner knows it; an endpoint that has less is not used.
        ``notices`` may have more than those of the connections. ``sharing`` is one for all disks of a source.
        """
        self._size_bytes = size_bytes
        self._options = options or NbdPoolOptions()
        self._monotonic = monotonic
        self._notices = notices or NoticeBook()
        self._supply = NbdSupply(
            size_bytes, endpoints, refresh, self._options, self._notices, monotonic, sharing
        )
        self._counting = threading.Lock()
        self._bytes_read = 0
        self._bytes_redone = 0
        self._resumed_from_bytes = 0

    @property
    def size_bytes(self) -> int:
        """See ``BlockSource``."""
        return self._size_bytes

    @property
    def bytes_read(self) -> int:
        """Bytes delivered so far."""
        return self._bytes_read

    @property
    def bytes_redone(self) -> int:
        """Bytes that were asked for again because the connection they were to come on was lost."""
        return self._bytes_redone

    @property
    def resumed_from_bytes(self) -> int:
        """Bytes that had been delivered when a connection was last lost, and were not read again; 0 without a
        loss.
        """
        return self._resumed_from_bytes

    def notices(self) -> tuple[Notice, ...]:
        """See ``BlockSource``."""
        return self._notices.all()

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """See ``BlockSource``; a large buffer is filled by several requests in flight on one connection."""
        check_read(BlockRead(offset, buffer), self._size_bytes)
        pieces = cut(Extent(0, len(buffer)), self._options.request_bytes)
        for _ in self.read_many(BlockRead(offset + at, buffer[at : at + length]) for at, length in pieces):
            pass

    def read_many(self, reads: Iterable[BlockRead]) -> Iterator[BlockRead]:
        """See ``BlockSource``; one connection serves one call at a time."""
        redo = Redo(
            self._checked(reads),
            patience=self._options.patience,
            first_pause=self._options.first_pause,
            longest_pause=self._options.longest_pause,
            monotonic=self._monotonic,
        )
        while redo.ready():
            connection = self._supply.take()
            pause = 0.0
            try:
                for read in connection.read_many(redo, window=redo.window(self._options.window)):
                    redo.done(read)
                    self._count(read=len(read.buffer))
                    yield read
            except XenkeepError as error:
                if connection.failure is not error:
                    raise
                lost = tuple(connection.outstanding.values())
                self._count(redone=sum(len(read.buffer) for read in lost))
                pause = redo.lost(lost, connection.refused, error)
            finally:
                self._supply.give_back(connection)
            if pause:
                self._supply.wait(pause)

    def close(self) -> None:
        """See ``BlockSource``. A thread that is just connecting ends when that has succeeded or failed."""
        self._supply.close()

    def _checked(self, reads: Iterable[BlockRead]) -> Iterator[BlockRead]:
        for read in reads:
            check_read(read, self._size_bytes)
            yield read

    def _count(self, *, read: int = 0, redone: int = 0) -> None:
        with self._counting:
            self._bytes_read += read
            self._bytes_redone += redone
            if redone:
                self._resumed_from_bytes = self._bytes_read
