"""Reading streams: whole, or a range of one."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Final

from services.chassis.errors import InvalidInput
from services.mover.repository.format.blob import BlobType
from services.mover.repository.format.damaged import damaged
from services.mover.repository.format.stream import ListItem, StreamRef, decode_list
from services.mover.repository.index import Index
from services.mover.repository.reader import BlobReader

_BATCH_PIECES: Final = 4
_WORKERS: Final = 2
_ID_BATCH: Final = 1024

Placed = tuple[int, ListItem]
"""Where a piece begins in its stream, and the piece."""


def read_stream(
    reader: BlobReader, ref: StreamRef, offset: int = 0, length: int | None = None
) -> Iterator[bytes]:
    """``length`` bytes from ``offset`` (None: to the end) in order; only what they need is read, a bit ahead.

    Raises InvalidInput when the range is not in the stream, DataLoss when a piece is damaged or the lengths
    do not add up.
    """
    end = ref.length if length is None else offset + length
    if not 0 <= offset <= end <= ref.length:
        raise InvalidInput(
            f"{offset}+{end - offset} is outside a stream of {ref.length} bytes.",
            reason="RANGE_OUTSIDE_STREAM",
            hint="Ask for a range within the stream.",
        )
    return _read(reader, ref, offset, end)


def _read(reader: BlobReader, ref: StreamRef, offset: int, end: int) -> Iterator[bytes]:
    pieces = _pieces(reader, ref, offset, end)
    with ThreadPoolExecutor(_WORKERS, thread_name_prefix="stream") as pool:
        running: deque[tuple[list[Placed], Future[list[bytes]]]] = deque()
        try:
            while True:
                while len(running) <= _WORKERS and (batch := list(islice(pieces, _BATCH_PIECES))):
                    running.append((batch, pool.submit(_contents, reader, batch)))
                if not running:
                    return
                batch, contents = running.popleft()
                for (start, item), content in zip(batch, contents.result(), strict=True):
                    yield content[max(offset - start, 0) : min(end - start, item.length)]
        finally:
            for _, future in running:
                future.cancel()


def stream_id_batches(reader: BlobReader, ref: StreamRef) -> Iterator[list[bytes]]:
    """Ids of every list and piece of the stream, at most a list's worth at once; each list once."""
    pending = [ref.list_id] if ref.list_id is not None else []
    seen: set[bytes] = set()
    while pending:
        list_id = pending.pop()
        if list_id in seen:
            continue
        seen.add(list_id)
        level, items = decode_list(reader.read(list_id, BlobType.LIST), f"list {list_id.hex()}")
        yield [list_id]
        if level:
            pending += [item.id for item in items]
        else:
            yield [item.id for item in items]


def require_stream(reader: BlobReader, index: Index, ref: StreamRef) -> None:
    """Raises DataLoss when a list is damaged or a piece has no copy that can be read.

    Pieces are only read when every copy lies in a pack known to be damaged.
    """
    for ids in stream_id_batches(reader, ref):
        copies = index.find(ids)
        for id_ in ids:
            here = copies.get(id_, [])
            if all(copy.pack.damaged for copy in here):
                reader.read(id_, here[0].entry.type if here else BlobType.PIECE)


def _contents(reader: BlobReader, batch: list[Placed]) -> list[bytes]:
    pieces = reader.read_many([item.id for _, item in batch], BlobType.PIECE)
    for _, item in batch:
        if len(pieces[item.id]) != item.length:
            raise damaged(f"piece {item.id.hex()}", "it is not as long as its list says")
    return [bytes(pieces[item.id]) for _, item in batch]


def _pieces(reader: BlobReader, ref: StreamRef, offset: int, end: int) -> Iterator[Placed]:
    """Every piece that has a byte from ``offset`` to ``end``."""
    if (ref.list_id is None) != (ref.length == 0):
        raise damaged("stream", f"it has {ref.length} bytes and {'no' if ref.list_id is None else 'a'} list")
    if ref.list_id is not None:
        yield from _descend(reader, ListItem(ref.list_id, ref.length), 0, None, offset, end)


def _descend(
    reader: BlobReader, node: ListItem, start: int, level: int | None, offset: int, end: int
) -> Iterator[Placed]:
    what = f"list {node.id.hex()}"
    found, items = decode_list(reader.read(node.id, BlobType.LIST), what)
    if (level is not None and found != level) or sum(item.length for item in items) != node.length:
        raise damaged(what, "it is not the list its place needs")
    for item in items:
        if start < end and start + item.length > offset:
            if found:
                yield from _descend(reader, item, start, found - 1, offset, end)
            else:
                yield start, item
        start += item.length
