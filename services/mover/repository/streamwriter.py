"""Storing streams: opaque bytes of a length nobody knows, cut, stored by several threads, listed in order."""

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from services.chassis.errors import InvalidInput
from services.mover.repository.blobwriter import BlobWriter
from services.mover.repository.cutting import Cutter
from services.mover.repository.flow import Flow
from services.mover.repository.format.blob import BlobType
from services.mover.repository.format.stream import LIST_ITEMS, ListItem, StreamRef, encode_list
from services.mover.repository.types import Bytes

_DOCUMENT_BYTES: Final = 1 << 20
_WAITING_PER_WORKER: Final = 2


class StreamWriter:
    """One stream: ``write`` its bytes as they come, ``finish``, ``close`` in any case.

    Used by one thread at a time; several streams of a session may be written at once. Memory: what waits for
    a cut (less than 5 MiB and the part written last), three pieces a worker, a list of 640 KiB a level.
    """

    def __init__(self, flow: Flow, writer: BlobWriter, cutter: Cutter, kind: str, workers: int) -> None:
        self._flow = flow
        self._writer = writer
        self._cutter = cutter
        self._kind = kind
        self._workers = workers
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="piece")
        self._storing: deque[Future[ListItem]] = deque()
        self._lists = ListBuilder(writer)
        self._ref: StreamRef | None = None
        self.read_bytes = 0

    @property
    def stored_bytes(self) -> int:
        """Sealed bytes of the whole session so far."""
        return self._writer.counts.sealed_bytes

    def write(self, data: Bytes) -> None:
        """Take ``data``, which is not kept; waits while too much is being stored.

        Raises Stopped when the flow fails, and whatever storing raises.
        """
        if self._ref is not None:
            raise InvalidInput(
                "The stream is finished.", reason="STREAM_FINISHED", hint="Write another stream."
            )
        self._flow.check()
        self.read_bytes += len(data)
        for piece in self._cutter.feed(data):
            self._hand(piece)

    def finish(self) -> StreamRef:
        """Store the rest. A stream of one small piece is a document and lies with the metadata."""
        if self._ref is not None:
            return self._ref
        rest = list(self._cutter.rest())
        if self.read_bytes <= _DOCUMENT_BYTES and len(rest) == 1 and not self._handed:
            self._lists.add(self._store(rest[0], meta=True))
        else:
            for piece in rest:
                self._hand(piece)
        while self._storing:
            self._lists.add(self._storing.popleft().result())
        self._ref = StreamRef(self.read_bytes, self._lists.finish(), self._kind)
        return self._ref

    def close(self) -> None:
        """Let the threads go; what they are storing they finish, see ``settle``."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def settle(self) -> None:
        """Wait until a writer that was closed stores nothing any more: others may rely on what it stores."""
        self._pool.shutdown()

    @property
    def _handed(self) -> bool:
        return bool(self._storing) or not self._lists.empty

    def _hand(self, piece: bytes) -> None:
        self._storing.append(self._pool.submit(self._store, piece, meta=False))
        if len(self._storing) > _WAITING_PER_WORKER * self._workers:
            self._lists.add(self._storing.popleft().result())

    def _store(self, piece: bytes, *, meta: bool) -> ListItem:
        self._flow.check()
        return ListItem(self._writer.store(BlobType.PIECE, piece, meta=meta), len(piece))


class ListBuilder:
    """The tree of lists above pieces, stored as it grows: memory for one list a level."""

    def __init__(self, writer: BlobWriter, list_items: int = LIST_ITEMS) -> None:
        self._writer = writer
        self._list_items = list_items
        self._levels: list[list[ListItem]] = []

    @property
    def empty(self) -> bool:
        return not self._levels

    def add(self, item: ListItem, level: int = 0) -> None:
        """The next item in order; a list is stored when it is full and more follows."""
        if level == len(self._levels):
            self._levels.append([])
        if len(self._levels[level]) == self._list_items:
            self._store(level)
        self._levels[level].append(item)

    def finish(self) -> bytes | None:
        """The id of the top list; None when there was no item."""
        level = 0
        while level < len(self._levels):
            top = level == len(self._levels) - 1
            if top and level and len(self._levels[level]) == 1:
                return self._levels[level][0].id
            self._store(level)
            level += 1
        return None

    def _store(self, level: int) -> None:
        items, self._levels[level] = self._levels[level], []
        id_ = self._writer.store(BlobType.LIST, encode_list(level, items))
        self.add(ListItem(id_, sum(item.length for item in items)), level + 1)
