"""Disks as tar members of 1 MiB with a checksum each: format=tar of a raw export, and the disks of an XVA.

xen-api: ocaml/xapi/stream_vdi.ml. A disk's members are `<prefix>/%08d` and, after each, the same name with
`.xxhash` (XXH64 in upper-case hex), before release 8.1 with `.checksum` (SHA-1). Chunks of zeroes are left
out, except the first and the last one.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator

import xxhash

from services.simulator.storage.errors import BadImage
from services.simulator.storage.ports import SECTOR, Disk

CHUNK = 1024 * 1024
QUIET_S = 5.0
"""Seconds of zeroes before a sign of life (stream_vdi.ml)."""
END_OF_ARCHIVE = bytes(1024)
_PAD = 512
Checksum = Callable[[bytes | bytearray], tuple[str, str]]
"""Of a chunk: the ending of the name of the member that holds it, and its text."""


def xxhash64(chunk: bytes | bytearray) -> tuple[str, str]:
    return ".xxhash", f"{xxhash.xxh64_intdigest(chunk):016X}"


def sha1(chunk: bytes | bytearray) -> tuple[str, str]:
    return ".checksum", hashlib.sha1(chunk, usedforsecurity=False).hexdigest()


def export(disk: Disk, checksum: Checksum = xxhash64) -> Iterator[bytes | bytearray]:
    """The archive of format=tar."""
    yield from members(disk, "vdi", checksum)
    yield END_OF_ARCHIVE


def members(
    disk: Disk,
    prefix: str,
    checksum: Checksum = xxhash64,
    monotonic: Callable[[], float] = time.monotonic,
) -> Iterator[bytes | bytearray]:
    """The members of one disk, as they stand in an archive.

    After ``QUIET_S`` without any, an empty chunk tells that somebody is there: it takes a number, no room.
    """
    last = (disk.virtual_size - 1) // CHUNK
    signs, spoken = 0, monotonic()
    for number in range(last + 1):
        chunk = _chunk(disk, number, always=number in (0, last))
        if chunk is None and monotonic() - spoken <= QUIET_S:
            continue
        name, data = f"{prefix}/{number + signs:08}", chunk or b""
        ending, text = checksum(data)
        yield from member(name, data)
        yield from member(name + ending, text.encode())
        signs += chunk is None
        spoken = monotonic()


def _chunk(disk: Disk, number: int, *, always: bool) -> bytearray | None:
    """None for one of zeroes, unless it is wanted in any case."""
    length = min(CHUNK, disk.virtual_size - number * CHUNK)
    if not always and not any(extent.data for extent in disk.extents(number * CHUNK, length)):
        return None
    chunk = bytearray(length)
    disk.read_into(number * CHUNK, chunk)
    return chunk if always or any(chunk) else None


def member(name: str, data: bytes | bytearray) -> Iterator[bytes | bytearray]:
    """One member: its head, its data, and the padding."""
    yield member_head(name, len(data))
    if data:
        yield data
    if len(data) % _PAD:
        yield bytes(_PAD - len(data) % _PAD)


def member_head(name: str, size: int) -> bytes:
    """512 bytes in the style of xapi: no ustar magic, mode 0400, type byte NUL."""
    encoded = name.encode()
    if len(encoded) > 99 or size >= 8**11:
        raise ValueError(f"tar member {name!r} of {size} bytes does not fit an old header")
    fields = b"0000400\0" + b"0000000\0" * 2 + f"{size:011o}\0".encode() + b"00000000000\0"
    head = (encoded.ljust(100, b"\0") + fields + b" " * 8).ljust(_PAD, b"\0")
    checksum = f"{sum(head):07o}\0".encode()
    return head[:148] + checksum + head[156:]


class ChunkImport:
    """Puts the chunks of one disk of an XVA where they belong.

    The number of a chunk is not its place: an empty one is only a sign of life, and takes a number
    (stream_vdi.ml, recv_all_vdi): the place moves by the first chunk's length for every number left out.
    """

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._offset = 0
        self._last = -1
        self._first_length: int | None = None

    def add(self, number: int, data: bytes | bytearray | memoryview) -> None:
        """Write a chunk; numbers must go up. BadImage when they do not or the disk is too small."""
        if number <= self._last:
            raise BadImage(f"chunk {number} comes after chunk {self._last}")
        if self._first_length is None:
            self._first_length = len(data)
        self._offset += (number - self._last - 1) * self._first_length
        self._last = number
        if self._offset % SECTOR:
            raise BadImage(f"chunk {number} starts at {self._offset}, inside a sector")
        if self._offset + len(data) > self._disk.virtual_size:
            raise BadImage(
                f"chunk {number} lies beyond the end of the disk of {self._disk.virtual_size} bytes"
            )
        whole = bytes(data).ljust(-(-len(data) // SECTOR) * SECTOR, b"\0")
        self._disk.write(self._offset, whole)
        self._offset += len(data)
