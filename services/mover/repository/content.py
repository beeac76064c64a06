"""Content of a chunk: its base overlaid by its patches."""

from collections.abc import Iterable, Iterator, Mapping

from services.mover.repository.format.blob import BlobType
from services.mover.repository.format.damaged import damaged
from services.mover.repository.format.names import BLOCK_BYTES
from services.mover.repository.format.page import Entry
from services.mover.repository.reader import BlobReader
from services.mover.repository.types import Bytes

ZERO_BLOCK = bytes(BLOCK_BYTES)


def bits(bitmap: int) -> Iterator[int]:
    """Numbers of the bits set, ascending."""
    while bitmap:
        low = bitmap & -bitmap
        yield low.bit_length() - 1
        bitmap ^= low


def runs(bitmap: int) -> Iterator[tuple[int, int]]:
    """First bit and length of each run of set bits, ascending."""
    start = last = -2
    for bit in bits(bitmap):
        if bit != last + 1:
            if start >= 0:
                yield start, last + 1 - start
            start = bit
        last = bit
    if start >= 0:
        yield start, last + 1 - start


def read_chunks(reader: BlobReader, entries: Iterable[Entry], chunk_bytes: int) -> list[bytes | bytearray]:
    """Contents of chunks, ``chunk_bytes`` each, read with as few requests as their packs allow."""
    wanted = list(entries)
    chunk_ids = [entry.chunk for entry in wanted if entry.chunk is not None]
    group_ids = [p.group for entry in wanted for p in entry.patches if p.group is not None]
    chunks = reader.read_many(chunk_ids, BlobType.CHUNK) if chunk_ids else {}
    groups = reader.read_many(group_ids, BlobType.GROUP) if group_ids else {}
    return [_content(entry, chunks, groups, chunk_bytes) for entry in wanted]


def each_chunk(
    reader: BlobReader, numbered: Iterable[tuple[int, Entry]], chunk_bytes: int
) -> Iterator[tuple[int, Bytes]]:
    """Number and content of each chunk, in any order; a content is gone when the next one is asked for."""
    plain: dict[bytes, list[int]] = {}
    patched = []
    for number, entry in numbered:
        if entry.chunk is None or entry.patches:
            patched.append((number, entry))
        else:
            plain.setdefault(entry.chunk, []).append(number)
    for id_, content in reader.each(plain, BlobType.CHUNK):
        _require_length(id_, content, chunk_bytes)
        for number in plain[id_]:
            yield number, content
    contents = read_chunks(reader, [entry for _, entry in patched], chunk_bytes)
    yield from zip((number for number, _ in patched), contents, strict=True)


def _require_length(id_: bytes, content: Bytes, chunk_bytes: int) -> None:
    if len(content) != chunk_bytes:
        raise damaged(f"chunk {id_.hex()}", f"it has {len(content)} bytes instead of {chunk_bytes}")


def _content(
    entry: Entry, chunks: Mapping[bytes, Bytes], groups: Mapping[bytes, Bytes], chunk_bytes: int
) -> bytes | bytearray:
    base: Bytes | None = None
    if entry.chunk is not None:
        base = chunks[entry.chunk]
        _require_length(entry.chunk, base, chunk_bytes)
        if not entry.patches:
            return base if isinstance(base, bytes | bytearray) else bytes(base)
    content = bytearray(base) if base is not None else bytearray(chunk_bytes)
    for patch in entry.patches:
        if patch.group is None:
            for bit in bits(patch.bitmap):
                content[bit * BLOCK_BYTES : (bit + 1) * BLOCK_BYTES] = ZERO_BLOCK
            continue
        group = memoryview(groups[patch.group])
        at = patch.first * BLOCK_BYTES
        if len(group) % BLOCK_BYTES or len(group) < at + patch.bitmap.bit_count() * BLOCK_BYTES:
            raise damaged(f"group {patch.group.hex()}", "it has not the blocks that the map says")
        for first, length in runs(patch.bitmap):
            end = at + length * BLOCK_BYTES
            content[first * BLOCK_BYTES : (first + length) * BLOCK_BYTES] = group[at:end]
            at = end
    return content
