"""Streams: opaque bytes of any length, cut into pieces."""

from collections.abc import Iterable, Iterator

from services.mover.repository.blobwriter import BlobWriter
from services.mover.repository.format.blob import BlobType
from services.mover.repository.format.damaged import damaged
from services.mover.repository.format.stream import LIST_ITEMS, ListItem, StreamRef, decode_list, encode_list
from services.mover.repository.index import Index
from services.mover.repository.reader import BlobReader

PIECE_BYTES = 1 << 20
_READ_AHEAD = 8


def store_stream(writer: BlobWriter, data: Iterable[bytes]) -> StreamRef:
    """Store the concatenation of ``data``; what fits one megabyte lies with the metadata."""
    items: list[ListItem] = []
    pending = bytearray()
    for part in data:
        pending += part
        while len(pending) > PIECE_BYTES:
            items.append(_store_piece(writer, bytes(pending[:PIECE_BYTES]), meta=False))
            del pending[:PIECE_BYTES]
    if pending:
        items.append(_store_piece(writer, bytes(pending), meta=not items))
    if not items:
        return StreamRef(0, None)
    total = sum(item.length for item in items)
    level = 0
    while True:
        items = [
            _store_list(writer, level, items[at : at + LIST_ITEMS]) for at in range(0, len(items), LIST_ITEMS)
        ]
        if len(items) == 1:
            return StreamRef(total, items[0].id)
        level += 1


def read_stream(reader: BlobReader, ref: StreamRef) -> Iterator[bytes]:
    """The stream's bytes in order; raises DataLoss when a piece is damaged or the lengths do not add up."""
    if ref.list_id is None:
        return
    have = 0
    for part in _read_list(reader, ref.list_id, ref.length, None):
        have += len(part)
        yield part
    if have != ref.length:
        raise damaged(f"stream {ref.list_id.hex()}", f"it has {have} bytes instead of {ref.length}")


def stream_ids(reader: BlobReader, ref: StreamRef) -> Iterator[bytes]:
    """Ids of every list and piece of the stream."""
    pending = [ref.list_id] if ref.list_id is not None else []
    while pending:
        list_id = pending.pop()
        yield list_id
        level, items = decode_list(reader.read(list_id, BlobType.LIST), f"list {list_id.hex()}")
        if level:
            pending += [item.id for item in items]
        else:
            yield from (item.id for item in items)


def require_stream(reader: BlobReader, index: Index, ref: StreamRef) -> None:
    """Raises DataLoss when a list is damaged or a piece has no copy that can be read.

    Pieces are only read when every copy lies in a pack known to be damaged.
    """
    ids = list(stream_ids(reader, ref))
    copies = index.find(ids)
    for id_ in ids:
        here = copies.get(id_, [])
        if all(copy.pack.damaged for copy in here):
            reader.read(id_, here[0].entry.type if here else BlobType.PIECE)


def _store_piece(writer: BlobWriter, piece: bytes, *, meta: bool) -> ListItem:
    return ListItem(writer.store(BlobType.PIECE, piece, meta=meta), len(piece))


def _store_list(writer: BlobWriter, level: int, items: list[ListItem]) -> ListItem:
    id_ = writer.store(BlobType.LIST, encode_list(level, items))
    return ListItem(id_, sum(item.length for item in items))


def _read_list(reader: BlobReader, list_id: bytes, length: int, below: int | None) -> Iterator[bytes]:
    what = f"list {list_id.hex()}"
    level, items = decode_list(reader.read(list_id, BlobType.LIST), what)
    if (below is not None and level != below) or sum(item.length for item in items) != length:
        raise damaged(what, "it is not the list its place needs")
    if level:
        for item in items:
            yield from _read_list(reader, item.id, item.length, level - 1)
        return
    for at in range(0, len(items), _READ_AHEAD):
        batch = items[at : at + _READ_AHEAD]
        pieces = reader.read_many([item.id for item in batch], BlobType.PIECE)
        for item in batch:
            if len(pieces[item.id]) != item.length:
                raise damaged(what, "a piece is not as long as it says")
            yield bytes(pieces[item.id])
