"""Whether a disk read back from somewhere is what a point's map says."""

from collections.abc import Callable, Iterator
from itertools import islice

from services.chassis.errors import DataLoss
from services.mover.repository.content import read_chunks
from services.mover.repository.context import Context
from services.mover.repository.format.blob import BlobType, blob_id
from services.mover.repository.format.crypto import same
from services.mover.repository.format.page import Entry
from services.mover.repository.format.point import Disk
from services.mover.repository.ports import BlockSource

_BATCH_BYTES = 8 << 20

Found = tuple[int, Entry, bytearray]
"""Chunk number, what the map says, what was read (padded with zeros to a whole chunk)."""


def compare_disk(
    context: Context, point_id: str, disk: Disk, source: BlockSource, listener: Callable[[int], None] | None
) -> int:
    """Read every chunk of the disk's map from ``source`` again; bytes compared, as ``listener`` hears too.

    A chunk without patches is proven by its id alone, others are read from the repository. Holes are the
    caller's to check. Raises DataLoss at the first chunk that differs.
    """
    compared = 0
    found = _read(context, disk, source)
    while batch := list(islice(found, max(1, _BATCH_BYTES // context.chunk_bytes))):
        patched = [each for each in batch if each[1].patches]
        contents = read_chunks(context.reader, [entry for _, entry, _ in patched], context.chunk_bytes)
        expected = {each[0]: content for each, content in zip(patched, contents, strict=True)}
        for chunk, entry, content in batch:
            if not (expected[chunk] == content if chunk in expected else _is(context, entry, content)):
                raise DataLoss(
                    f"Disk {disk.disk_id} of point {point_id} was written, and reads back as something else"
                    f" in the {context.chunk_bytes} bytes from {chunk * context.chunk_bytes}.",
                    reason="WRITTEN_DISK_DIFFERS",
                    hint="Test the memory and the disk of this machine; the repository is not at fault.",
                    metadata={"point": point_id, "disk": disk.disk_id},
                )
            compared += min(context.chunk_bytes, disk.size_bytes - chunk * context.chunk_bytes)
            if listener is not None:
                listener(compared)
    return compared


def _read(context: Context, disk: Disk, source: BlockSource) -> Iterator[Found]:
    for chunk, entry in context.disk_map(disk).entries():
        content = bytearray(context.chunk_bytes)
        offset = chunk * context.chunk_bytes
        source.read_into(offset, memoryview(content)[: disk.size_bytes - offset])
        yield chunk, entry, content


def _is(context: Context, entry: Entry, content: bytearray) -> bool:
    return entry.chunk is not None and same(
        blob_id(context.keys.id_keys[BlobType.CHUNK], content), entry.chunk
    )
