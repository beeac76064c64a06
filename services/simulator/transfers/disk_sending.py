"""A disk's contents on their way to another pool: what was ever written, in frames."""

from collections.abc import Callable, Iterator

from services.simulator.pool.remote_pool import RemotePool
from services.simulator.storage.codecs.chunked import HEAD
from services.simulator.storage.ports import BLOCK, Disk

_PIECE = 16 * BLOCK


def send_disk(receiver: RemotePool, disk: Disk, target: str, watch: Callable[[int], None]) -> None:
    """Fill disk ``target`` (a reference there). Blocks; nobody may write to ``disk`` meanwhile.

    ``watch`` is told the number of bytes that have gone, again and again; what it raises ends the transfer.
    """
    length = sum(HEAD.size + size for _, size in _pieces(disk)) + HEAD.size
    query = {"vdi": target, "format": "raw", "chunked": "true"}
    receiver.put("/import_raw_vdi", query, _frames(disk, watch), length)


def _frames(disk: Disk, watch: Callable[[int], None]) -> Iterator[bytes]:
    for offset, size in _pieces(disk):
        watch(offset)
        buffer = bytearray(size)
        disk.read_into(offset, buffer)
        yield HEAD.pack(offset, size) + buffer
    yield HEAD.pack(0, 0)
    watch(disk.virtual_size)


def _pieces(disk: Disk) -> Iterator[tuple[int, int]]:
    """Offset and size of every piece that was ever written."""
    for extent in disk.extents():
        end = extent.offset + extent.length
        for offset in range(extent.offset, end, _PIECE) if extent.data else ():
            yield offset, min(_PIECE, end - offset)
